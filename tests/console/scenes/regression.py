"""Curves of the values that rows are answered with."""

from playwright.sync_api import Page, expect


def show(page: Page) -> None:
    """Feed some made-up rows."""
    page.goto("/#/models/river")
    page.get_by_role("button", name="Take made-up rows").click()
    for row in range(1, 13):
        page.get_by_role("button", name="Step").click()
        expect(page.get_by_text(f"Row {row} of 60 is fed.")).to_be_visible()
    expect(page.get_by_role("img", name="flow, level: 12 answers")).to_be_visible()
