"""The frame of the console: pages by their address."""

from playwright.sync_api import Page, expect

from tests.console.pages import assert_accessible


def test_all_models_are_shown(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="Models")).to_be_visible()
    expect(page.get_by_role("link", name="next-word")).to_be_visible()
    assert_accessible(page)
