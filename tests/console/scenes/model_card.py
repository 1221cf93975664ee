"""The card of a model."""

from playwright.sync_api import Page, expect


def show(page: Page) -> None:
    """Open the card of the model that predicts words."""
    page.goto("/#/models/next-word/card")
    expect(page.get_by_role("heading", name="Data and licence")).to_be_visible()
