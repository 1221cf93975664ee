"""The models that are served."""

from playwright.sync_api import Page, expect


def show(page: Page) -> None:
    """Open the list of models."""
    page.goto("/#/models")
    expect(page.get_by_role("link", name="next-word", exact=True)).to_be_visible()
    expect(page.get_by_role("row", name="perplexity").first).to_be_visible()
