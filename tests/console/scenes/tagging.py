"""Words with their tags."""

from playwright.sync_api import Page, expect


def show(page: Page) -> None:
    """Feed a sentence word by word."""
    page.goto("/#/models/words")
    page.get_by_label("Text").fill("I like the big dog and the small cat")
    page.get_by_label("Text").press("Enter")
    expect(page.get_by_role("list", name="Tags").get_by_role("listitem")).to_have_count(9)
