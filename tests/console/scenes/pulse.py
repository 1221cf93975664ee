"""The pulse of the service."""

from itertools import cycle

from playwright.sync_api import Page, expect

SENTENCES = ("How are you", "I would like some tea", "It is going to rain")


def show(page: Page) -> None:
    """Open the page while clients step sessions, until it has something to show of them."""
    page.goto("/#/pulse")
    steps = page.get_by_role("group", name="Session steps").get_by_text("/s").first
    sessions = [page.request.post("/v1/sessions", data={"model": "next-word"}).json()["id"] for _ in range(3)]
    for session, sentence in zip(cycle(sessions), SENTENCES * 20, strict=False):
        page.request.post(f"/v1/sessions/{session}/steps", data={"input": {"text": sentence}})
        if steps.is_visible() and steps.inner_text() != "0/s":
            break
    expect(page.get_by_role("group", name="next-word: perplexity")).to_be_visible()
    expect(steps).not_to_have_text("0/s")
