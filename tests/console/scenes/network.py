"""The layers of a network."""

from playwright.sync_api import Page, expect


def show(page: Page) -> None:
    """Open the network of the translator: an encoder, a bridge and a decoder with attention."""
    page.goto("/#/models/translate-en-fr/network")
    expect(page.get_by_role("img", name="Layers of translate-en-fr")).to_be_visible()
