"""The panels of next words and of translation, on real sessions."""

import math
import re
from typing import Any

import httpx
from playwright.sync_api import Locator, Page, expect

from tests.console.pages import Watch, assert_accessible
from tests.console.scenes import next_word, translation
from tests.server import Server

PASTED = "one two three four five six seven eight nine ten\neleven twelve thirteen fourteen"


def options(page: Page) -> Locator:
    """The words that the session has read."""
    return page.get_by_role("listbox").get_by_role("option")


def candidates(page: Page) -> Locator:
    return page.get_by_role("list", name=re.compile("Next")).get_by_role("button")


def session_of(page: Page, server: Server) -> dict[str, Any]:
    """What the service says of the session that the page links."""
    address = page.get_by_test_id("session").get_by_role("link").get_attribute("href")
    assert address is not None
    session: dict[str, Any] = httpx.get(f"{server.url}/v1/sessions/{address.rsplit('/', 1)[1]}").json()
    return session


def open_next_word(page: Page) -> Locator:
    """Open the panel and return its field."""
    page.goto("/#/models/next-word")
    expect(candidates(page).first).to_be_visible()
    return page.get_by_label("Type here")


def assert_fits_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_next_words_are_accessible_and_fit_a_phone(page: Page) -> None:
    next_word.show(page)
    expect(options(page).filter(has_text="zythum")).to_contain_text("unknown word")
    expect(options(page).first).to_contain_text("bits")
    assert_accessible(page)
    page.get_by_role("button", name="Change between light and dark").click()
    assert_accessible(page)
    assert_fits_a_phone(page)


def test_each_word_that_is_typed_fast_is_read_once(page: Page, server: Server) -> None:
    field = open_next_word(page)
    text = "the quick dog and the slow cat went home to see what the other people had done that day "
    field.press_sequentially(text)
    expect(options(page)).to_have_text([re.compile(f"^{word}\\d") for word in text.split()])
    assert session_of(page, server)["timesteps"] == len(text.split())


def test_a_pasted_text_is_read_at_once_with_the_surprise_of_each_word(page: Page, server: Server) -> None:
    field = open_next_word(page)
    field.fill(PASTED)
    field.press("Enter")  # the last word, which no space follows
    expect(options(page)).to_have_count(len(PASTED.split()))
    assert session_of(page, server)["step"] == 2
    expect(options(page).filter(has_text="≈")).to_have_count(0)
    scores = httpx.post(f"{server.url}/v1/models/next-word/score", json={"input": {"text": PASTED}}).json()["output"]
    surprises = [-logprob / math.log(2) for logprob in scores["logprobs"]]
    expect(options(page)).to_have_text([re.compile(f"{bits:.1f}") for bits in surprises])


def test_candidates_complete_and_are_accepted_by_click_and_number(page: Page, server: Server) -> None:
    field = open_next_word(page)
    field.press_sequentially("I would like a cup of te")
    expect(candidates(page).first).to_contain_text("tea")
    candidates(page).first.click()
    expect(options(page).last).to_contain_text("tea")
    field.press("ArrowDown")
    expect(candidates(page).first).to_be_focused()
    second = candidates(page).nth(1).locator("bdi").inner_text()
    page.keyboard.press("2")
    expect(options(page)).to_have_count(8)
    expect(options(page).last).to_contain_text(second)
    assert session_of(page, server)["timesteps"] == 8


def test_a_word_is_taken_back_and_a_branch_keeps_the_other(page: Page, server: Server) -> None:
    field = open_next_word(page)
    field.press_sequentially("good morning Tom ")
    expect(options(page)).to_have_count(3)
    field.press("Backspace")
    expect(field).to_have_value("Tom")
    expect(options(page)).to_have_count(2)
    assert session_of(page, server)["step"] == 4
    field.press("Enter")
    expect(options(page)).to_have_count(3)
    first = session_of(page, server)["id"]
    options(page).nth(0).click()
    page.get_by_role("button", name="Fork after this word").click()
    expect(options(page)).to_have_count(1)
    field.press_sequentially("night ")
    expect(options(page)).to_have_text([re.compile("good"), re.compile("night")])
    assert session_of(page, server)["id"] != first
    page.get_by_role("button", name="1: ").click()
    expect(options(page)).to_have_count(3)
    assert session_of(page, server)["id"] == first


def test_generation_streams_and_stops_at_the_last_committed_step(page: Page, server: Server) -> None:
    field = open_next_word(page)
    field.press_sequentially("I want to ")
    page.get_by_label("Tokens at most").fill("4")
    page.get_by_label("Seed", exact=True).fill("3")
    page.get_by_role("button", name="Generate").click()
    status = page.get_by_role("status").filter(has_text="step 4")
    expect(status).to_be_visible()
    before = session_of(page, server)
    assert before["step"] == 4
    expect(options(page)).to_have_count(before["timesteps"])

    page.get_by_label("Keep it").uncheck()
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("status").filter(has_text="has not read it")).to_be_visible()
    expect(options(page).and_(page.get_by_role("option", disabled=True))).not_to_have_count(0)
    assert session_of(page, server)["timesteps"] == before["timesteps"]

    page.get_by_role("button", name="Discard").click()
    expect(options(page)).to_have_count(before["timesteps"])

    # An answer that does not come: the user stops it.
    page.route("**/generate", lambda route: None)
    page.get_by_label("Keep it").check()
    page.get_by_role("button", name="Generate").click()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status").filter(has_text="Stopped")).to_be_visible()
    page.unroute("**/generate")
    field.press_sequentially("and ")
    expect(options(page)).to_have_count(before["timesteps"] + 1)
    assert session_of(page, server)["step"] == 5


def test_a_reload_continues_and_steps_from_elsewhere_are_told(page: Page, server: Server, watch: Watch) -> None:
    watch.expected += ["409", "410"]
    field = open_next_word(page)
    field.press_sequentially("I like ")
    expect(options(page)).to_have_count(2)
    page.reload()
    expect(options(page)).to_have_count(2)
    session = session_of(page, server)
    httpx.post(f"{server.url}/v1/sessions/{session['id']}/steps", json={"input": {"text": "my"}}).raise_for_status()
    field.press_sequentially("dog ")
    expect(page.get_by_role("alert")).to_contain_text("step 3")
    page.get_by_role("button", name="Feed them now").click()
    expect(options(page)).to_have_text(
        [re.compile(text) for text in ("^I\\d", "^like", "1 steps from elsewhere", "^dog")]
    )
    httpx.delete(f"{server.url}/v1/sessions/{session['id']}").raise_for_status()
    field.press_sequentially("now ")
    expect(page.get_by_role("alert")).to_contain_text("This session is gone")
    page.get_by_role("button", name="Begin a new one with these words").click()
    expect(options(page)).to_have_count(3)
    assert session_of(page, server)["timesteps"] == 3


def test_a_model_with_a_vector_asks_for_it(page: Page, server: Server) -> None:
    page.goto("/#/models/styles")
    vector = page.get_by_label("Vector: a JSON list of 6 numbers")
    begin = page.get_by_role("button", name="Begin with this vector")
    vector.fill("[1, 2]")
    begin.click()
    expect(page.get_by_role("alert")).to_have_text("The list has 2 numbers: expected 6.")
    vector.fill("[1, 0, -1, 0.5, 0, 2]")
    begin.click()
    page.get_by_label("Type here").press_sequentially("I like ")
    expect(options(page)).to_have_count(2)
    assert session_of(page, server)["timesteps"] == 2


def test_a_model_of_characters_reads_spaces_too(page: Page, server: Server) -> None:
    page.goto("/#/models/letters")
    expect(candidates(page).first).to_be_visible()
    page.get_by_label("Type here").press_sequentially("the cat ")
    expect(options(page)).to_have_count(2)
    assert session_of(page, server)["timesteps"] == len("the cat")
    page.get_by_label("Tokens at most").fill("5")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("status").filter(has_text="Generated")).to_be_visible()
    expect(options(page).nth(2)).to_contain_text("␣")
    session = session_of(page, server)
    assert session["step"] == 4
    assert session["timesteps"] > len("the cat ")


def test_words_that_wait_when_the_page_is_left_are_in_the_field_again(page: Page, server: Server) -> None:
    field = open_next_word(page)
    page.route("**/steps", lambda route: None)
    field.press_sequentially("all that waits ")
    expect(options(page).last).to_contain_text("not read yet")
    address = page.url
    page.goto("about:blank")  # before the route goes, or the step that it holds would be let through
    page.unroute("**/steps")
    page.goto(address)
    expect(options(page)).to_have_text([re.compile("^all")])
    expect(field).to_have_value("that waits")
    field.press("Enter")
    expect(options(page)).to_have_count(3)
    assert session_of(page, server)["timesteps"] == 3


def test_a_translation_shows_its_alternatives_and_attention(page: Page) -> None:
    translation.show(page)
    expect(page.get_by_text("Merci beaucoup.", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name="Alternatives")).to_be_visible()
    page.get_by_text("Attention as a table").click()
    expect(page.get_by_role("row", name=re.compile("^beaucoup"))).to_contain_text("%")
    assert_accessible(page)
    page.get_by_role("button", name="Change between light and dark").click()
    assert_accessible(page)
    assert_fits_a_phone(page)


def test_a_translator_goes_word_by_word(page: Page, server: Server) -> None:
    page.goto("/#/models/translate-en-fr")
    page.get_by_label("Text to translate").fill("Thank you very much. I am tired.")
    page.get_by_role("button", name="Translate word by word").click()
    accepted = page.get_by_role("group", name="Accepted words").get_by_role("button")
    candidates(page).filter(has_text="Merci").click()
    expect(accepted).to_have_count(1)
    field = page.get_by_label("Your next words")
    field.press_sequentially("bea")
    expect(candidates(page).first).to_contain_text("beaucoup")
    field.press("Tab")
    expect(accepted).to_have_text(["Merci", "beaucoup."])
    accepted.first.click()
    expect(accepted).to_have_count(1)
    assert session_of(page, server)["step"] == 3
    page.reload()
    expect(accepted).to_have_text(["Merci"])
    page.get_by_label("Sentence to translate").select_option(index=1)
    expect(accepted).to_have_count(0)
    expect(candidates(page).filter(has_text="Je")).to_be_visible()


def test_a_model_without_attention_translates(page: Page) -> None:
    page.goto("/#/models/plain-translation")
    page.get_by_label("Text to translate").fill("where is the dog")
    page.get_by_role("button", name="Translate", exact=True).click()
    expect(page.get_by_text("This model has no attention to show.")).to_be_visible()
