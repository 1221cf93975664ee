"""Labels of a text, and their course over its words."""

from playwright.sync_api import Page, expect


def show(page: Page) -> None:
    """Feed a sentence word by word."""
    page.goto("/#/models/mood")
    page.get_by_label("Text").fill("I like the big dog and the small cat")
    page.get_by_label("Text").press("Enter")
    expect(page.get_by_role("img", name="over 9 steps")).to_be_visible()
