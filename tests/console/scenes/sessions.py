"""A session and its state."""

from playwright.sync_api import Page, expect

WORDS = ("Would you like", "a cup", "of tea")


def show(page: Page) -> None:
    """Open the page of a session of the model that predicts words, after a few steps."""
    session = page.request.post("/v1/sessions", data={"model": "next-word", "kept_steps": 4}).json()["id"]
    for words in WORDS:
        page.request.post(f"/v1/sessions/{session}/steps", data={"input": {"text": words}})
    page.goto(f"/#/sessions/{session}")
    expect(page.get_by_role("heading", name="Layer 1")).to_be_visible()
