"""Next words: a text with its surprise, two branches of it, and candidates."""

from playwright.sync_api import Page, expect


def show(page: Page) -> None:
    """Read an example, and fork it in the middle."""
    page.goto("/#/models/next-word")
    page.get_by_role("button", name="I would like a cup of").click()
    words = page.get_by_role("listbox", name="Words that the session has read").get_by_role("option")
    expect(words).to_have_count(6)
    page.get_by_role("button", name="coffee").click()
    expect(words).to_have_count(7)
    words.nth(3).click()
    page.get_by_role("button", name="Fork after this word").click()
    expect(page.get_by_role("group", name="Branches").get_by_role("button", pressed=True)).to_contain_text("2:")
    page.get_by_label("Type here").press_sequentially("glass of zythum and ")
    expect(words).to_have_count(8)
    expect(page.get_by_role("list", name="Next words").get_by_role("button").first).to_be_visible()
