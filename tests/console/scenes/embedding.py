"""The vector of a text, compared with others."""

from playwright.sync_api import Page, expect


def show(page: Page) -> None:
    """Compare the vectors of two texts, and what was read of the second."""
    page.goto("/#/models/vectors")
    for text, words in (("I like the big dog", 5), ("and the small cat", 4)):
        page.get_by_label("Text").fill(text)
        page.get_by_label("Text").press("Enter")
        expect(page.get_by_text(f"step {words}", exact=True)).to_be_visible()
        page.get_by_role("button", name="Keep this vector").click()
        page.get_by_role("button", name="New session").click()
        expect(page.get_by_text("Feed something to see its vector.")).to_be_visible()
    page.get_by_label("Text").fill("I like")
    page.get_by_label("Text").press("Enter")
    expect(page.get_by_role("rowheader", name="3 I like", exact=True)).to_be_visible()
    expect(page.get_by_text("step 2", exact=True)).to_be_visible()
