"""The panels of models that read numbers, and of those that answer labels, values, vectors and tensors."""

import re
import wave
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from safetensors.numpy import load

from models.recipes.console_example import EXAMPLE, example
from tests.console.number_models import PACKAGE
from tests.console.pages import Watch, assert_accessible
from tests.console.scenes import classification, embedding, forecasting, regression, tagging, tensor
from tests.server import Server, answered


def paste(page: Page, text: str) -> None:
    """Give a table to the panel that is open."""
    page.get_by_text("Paste rows").click()
    page.get_by_label("Rows to paste").fill(text)
    page.get_by_role("button", name="Use these rows").click()
    page.get_by_text("Paste rows").click()


def tile(page: Page, name: str) -> str:
    """Return what the panel shows under a name."""
    return page.locator(".tile").filter(has=page.get_by_text(name, exact=True)).locator("strong").inner_text()


def test_the_example_is_the_golden_data_of_the_bundled_model() -> None:
    assert EXAMPLE.read_text("utf-8") == example()


def test_a_forecast_moves_with_each_row_and_goes_on_after_reload_and_restart(
    page: Page, server: Server, watch: Watch
) -> None:
    watch.expected = ["Failed to load resource", "ERR_CONNECTION"]
    forecasting.show(page)
    assert_accessible(page)
    came, expected, error = (
        float(tile(page, name).replace(",", "").replace("\N{MINUS SIGN}", "-"))
        for name in ("came", "expected", "error")
    )
    assert abs(came - expected - error) < 0.1
    page.reload()
    expect(page.get_by_text("row 196 of 384")).to_be_visible()
    server.kill9()
    page.get_by_role("button", name="Step").click()
    expect(page.get_by_text("The service does not answer. Trying again …")).to_be_visible()
    server.start()
    expect(page.get_by_text("row 197 of 384")).to_be_visible()
    expect(page.get_by_text("step 6", exact=True)).to_be_visible()
    page.get_by_label("Speed").select_option("10")
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_text(re.compile(r"row (199|[23]\d\d) of 384"))).to_be_visible()
    page.get_by_role("button", name="Pause").click()


def test_tables_as_people_have_them_are_read_and_told(page: Page, watch: Watch) -> None:
    watch.expected = ["status of 422"]
    page.goto("/#/models/taxi-forecast")
    paste(page, "Datum;Menge\n02.01.2026 00:30;12.000,5\n02.01.2026 00:00;x\n01.01.2026 23:30;\n")
    for note in ("semicolons", "decimal commas", "1 empty cell", "first “x” in row 2", "newest row came first", "UTC"):
        expect(page.get_by_role("listitem").filter(has_text=note)).to_be_visible()
    expect(page.get_by_text("every 30 min.")).to_be_visible()
    expect(page.get_by_role("img", name="passengers: 1 rows fed")).to_be_visible()

    page.get_by_label("Times").select_option("none")
    expect(page.get_by_role("alert")).to_contain_text("input.timestamps is missing")

    page.get_by_label("Times").select_option("Datum")
    expect(page.get_by_role("alert")).to_have_count(0)
    page.get_by_label("Quantiles").fill("0.1, 2")
    page.get_by_role("button", name="Forecast", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("distinct levels between 0 and 1")
    expect(page.get_by_label("Quantiles")).to_have_attribute("aria-invalid", "true")

    paste(page, "a header\n")
    expect(page.get_by_role("alert").first).to_contain_text("a header but no row")


def test_what_is_known_in_advance_can_be_changed_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 800})
    page.emulate_media(color_scheme="dark")
    page.goto("/#/models/weather")
    rows = [f"2026-01-01T{hour:02}:00Z,{100 + hour},{110 + hour},{120 + hour}\n" for hour in range(24)]
    paste(page, "".join(["time,load,temp,wind\n", *rows]))
    page.get_by_text("What if: values known in advance").click()
    first = page.get_by_label("temp, step 1")
    expect(first).to_have_value("122")
    before = page.get_by_role("img", name="load: 12 rows fed").evaluate("node => node.data.length")
    first.fill("150")
    page.get_by_role("button", name="Forecast with these values").click()
    page.wait_for_function("before => document.querySelector('.chart').data.length > before", arg=before)
    page.get_by_label("Show", exact=True).select_option("wind")
    expect(page.get_by_role("img", name="wind: 12 rows fed")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert_accessible(page)


def test_labels_follow_the_words_of_a_session_across_a_reload(page: Page) -> None:
    classification.show(page)
    labels = page.get_by_role("list", name="Labels").get_by_role("listitem")
    before = labels.all_inner_texts()
    assert len(before) == 3
    assert_accessible(page)
    page.reload()
    expect(page.get_by_role("img", name="over 9 steps")).to_be_visible()
    assert labels.all_inner_texts() == before


def test_words_have_their_tags_below_them_with_and_without_a_session(page: Page) -> None:
    tagging.show(page)
    expect(page.get_by_role("listitem").filter(has_text="dog")).to_have_text(
        re.compile(r"^dog(good|bad|neither)\d+ %$")
    )
    assert_accessible(page)
    page.goto("/#/models/whole")
    expect(page.get_by_text("it has no sessions")).to_be_visible()
    page.get_by_label("Text").fill("the small cat")
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("list", name="Tags").get_by_role("listitem")).to_have_count(3)


def test_rows_become_curves_and_a_wrong_column_is_told(page: Page) -> None:
    regression.show(page)
    assert_accessible(page)
    paste(page, "a,b,c\n1,2,north\n3,4,south\n")
    expect(page.get_by_role("alert")).to_contain_text("choose one for input 3")


def test_a_thousand_labels_show_the_most_probable(page: Page) -> None:
    page.goto("/#/models/kinds")
    paste(page, "1,2,3\n4,,6\n")
    step = page.get_by_role("button", name="Step")
    step.click()
    expect(page.get_by_text("Row 1 of 2 is fed.")).to_be_visible()
    step.click()
    expect(page.get_by_role("list", name="Labels").get_by_role("listitem")).to_have_count(10)
    expect(page.get_by_role("img", name="over 2 steps")).to_be_visible()


def test_vectors_are_compared(page: Page) -> None:
    embedding.show(page)
    table = page.get_by_role("region", name="Cosine similarity")
    expect(table.get_by_role("row")).to_have_count(4)
    numbers = [
        [float(text) for text in row.get_by_role("cell").all_inner_texts() if text]
        for row in table.get_by_role("row").all()[1:]
    ]
    assert [numbers[at][at] for at in range(3)] == [1.0, 1.0, 1.0]
    assert numbers[0][1] == numbers[1][0] < 1
    assert_accessible(page)


def test_a_graph_is_stepped_and_its_errors_are_told_at_the_input(page: Page, watch: Watch) -> None:
    watch.expected = ["status of 422"]
    tensor.show(page)
    assert_accessible(page)
    frame = page.get_by_label("frame: float32")
    for text, words in (("[1, 2", "nested lists of numbers as JSON"), ("[1, 2]", "expected [1, 3] or [3]")):
        frame.fill(text)
        page.get_by_role("button", name="Step").click()
        expect(page.get_by_role("alert")).to_contain_text(words)
        expect(page.get_by_text(re.compile("^(null|false)$"))).to_have_count(0)
        expect(frame).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text("step 4", exact=True)).to_be_visible()


@pytest.mark.slow
@pytest.mark.skipif(PACKAGE is None, reason="silero-vad is not installed")
def test_audio_is_heard_once_although_the_service_is_killed(
    page: Page, server: Server, watch: Watch, tmp_path: Path
) -> None:
    watch.expected = ["Failed to load resource", "ERR_CONNECTION", "WebSocket"]
    samples = np.random.default_rng(0).integers(-9000, 9000, 400 * 512, dtype=np.int16)
    with wave.open(str(tmp_path / "noise.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    page.goto("/#/models/voice")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text(re.compile("microphone"))
    page.get_by_label("Audio file").set_input_files(tmp_path / "noise.wav")
    expect(page.get_by_text(re.compile(r"^step [1-9]\d+$"))).to_be_visible()
    server.kill9()
    server.start()
    expect(page.get_by_text("noise.wav was heard to its end.")).to_be_visible()
    expect(page.get_by_text("step 400", exact=True)).to_be_visible()
    assert_accessible(page)
    frames = (samples.reshape(-1, 512) / 32768).tolist()
    heard = str(page.get_by_test_id("session").get_by_role("link").get_attribute("href")).rpartition("/")[2]
    with server.client() as http:
        fed = answered(http.post("/v1/sessions", json={"model": "voice"}), 201)["id"]
        for begin in range(0, 400, 50):
            body = {"input": {"tensors": {"input": frames[begin : begin + 50]}, "steps": True}}
            answered(http.post(f"/v1/sessions/{fed}/steps", json=body))
        states = [load(http.get(f"/v1/sessions/{session}/state").content)["state"] for session in (heard, fed)]
    np.testing.assert_allclose(*states, rtol=1e-3, atol=1e-3)
