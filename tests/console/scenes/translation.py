"""Translation: a text with alternatives and attention, and the same sentence translated word by word."""

from playwright.sync_api import Page, expect


def show(page: Page) -> None:
    """Translate an example, and begin to translate it by hand."""
    page.goto("/#/models/translate-en-fr")
    page.get_by_role("button", name="Thank you very much.").click()
    expect(page.get_by_role("img", name="Heat map of the attention")).to_be_visible()
    page.get_by_role("button", name="Translate word by word").click()
    expect(page.get_by_role("button", name="Take the rest")).to_be_visible()
    page.get_by_label("Your next words").press_sequentially("Merci b")
    expect(page.get_by_role("list", name="Next words of the translation")).to_contain_text("beaucoup")
