"""A forecast of taxi passengers that moves with each observation."""

from playwright.sync_api import Page, expect


def show(page: Page) -> None:
    """Take the example, draw paths, and feed some observations."""
    page.goto("/#/models/taxi-forecast")
    page.get_by_role("button", name="Take the example").click()
    page.get_by_label("Sampled paths").fill("8")
    step = page.get_by_role("button", name="Step")
    for row in range(193, 197):
        step.click()
        expect(page.get_by_text(f"row {row} of 384")).to_be_visible()
    expect(page.get_by_role("img", name="passengers: 196 rows fed")).to_be_visible()
