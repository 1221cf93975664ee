"""A graph that is stepped by its tensors."""

from playwright.sync_api import Page, expect


def show(page: Page) -> None:
    """Step a graph with frames of its own."""
    page.goto("/#/models/speech")
    for step, frame in enumerate(("[0.5, -1, 2]", "[3, 0, -2]", "[-4, 1, 0]", "[0, 0, 0]"), 1):
        page.get_by_label("frame: float32").fill(frame)
        page.get_by_role("button", name="Step").click()
        expect(page.get_by_text(f"step {step}", exact=True)).to_be_visible()
    expect(page.get_by_role("img", name="probability over 4 steps")).to_be_visible()
