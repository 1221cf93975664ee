"""The pages of the console about models, sessions and the pulse of the service."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from service.model_folder.safetensors_io import write_tensor_file
from tests.console.pages import Watch, assert_accessible
from tests.console.scenes import model_card, models, network, pulse, sessions
from tests.encoder_folders import write_encoder
from tests.integration.access.test_keys_file import entry, write
from tests.server import Server, answered, new_session, short_folder, step

HOSTILE = """---
description: front
---
# A <b>card</b>

![picture](https://elsewhere.example/x.png) [script](javascript:alert(1)) [file](golden.py) [site](https://example.org/a_b)

<img src=x onerror=alert(1)> `<i>` **bold *and both*** 1 \\* 2

- one
  - deeper
- two

| a | b |
|---|--:|
| 1 | `x\\|y` |

```python
<script>alert(1)</script>
```
"""


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def phone(page: Page) -> None:
    """Make the window as narrow as a phone, in the dark."""
    page.set_viewport_size({"width": 360, "height": 800})
    page.emulate_media(color_scheme="dark")


def assert_fits(page: Page) -> None:
    """Assert that the page does not scroll sideways."""
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def fact(page: Page, name: str) -> Locator:
    """The description of a term."""
    return page.locator("dt", has_text=name).locator("xpath=following-sibling::dd[1]")


def test_cards_of_models_tell_their_figures_beside_the_baseline(page: Page) -> None:
    models.show(page)
    card = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="translate-en-fr", exact=True))
    expect(card.get_by_text("verified", exact=True)).to_be_visible()
    expect(card.get_by_role("row", name="BLEU higher is better")).to_contain_text("40.6 ✓ better than the baseline31.7")
    expect(card.get_by_role("definition").filter(has_text="9,544,880")).to_be_visible()
    expect(card.get_by_text("1 · default")).to_be_visible()
    assert_accessible(page)
    phone(page)
    assert_fits(page)
    assert_accessible(page)


def test_a_model_card_is_rendered_and_one_without_is_told(page: Page, watch: Watch) -> None:
    model_card.show(page)
    expect(page.get_by_role("link", name="manythings.org/anki")).to_have_attribute(
        "href", "https://www.manythings.org/anki/"
    )
    expect(page.get_by_role("cell", name="interpolated 5-gram Kneser-Ney")).to_be_visible()
    expect(page.get_by_text("license: cc-by")).to_have_count(0)
    assert_accessible(page)
    watch.expected.append("404")
    page.goto("/#/models/speech/card")
    expect(page.get_by_text("This version has no model card.")).to_be_visible()


def test_markup_in_a_card_is_text(page: Page) -> None:
    models.show(page)
    page.evaluate(
        """async (text) => {
          const { body, render } = await import("/console/js/pages/markdown.js");
          document.getElementById("main").replaceChildren(...render(body(text)));
        }""",
        HOSTILE,
    )
    main = page.get_by_role("main")
    assert main.evaluate("(node) => node.querySelectorAll('img, script, b, i').length") == 0
    assert [link.get_attribute("href") for link in main.get_by_role("link").all()] == ["https://example.org/a_b"]
    expect(main.get_by_role("heading", name="A <b>card</b>", exact=True)).to_be_visible()
    expect(main).to_contain_text("<img src=x onerror=alert(1)>")
    expect(main).not_to_contain_text("description: front")
    expect(main.locator("li li")).to_have_text("deeper")
    expect(main.locator("strong em")).to_have_text("and both")
    expect(main).to_contain_text("1 * 2")
    expect(main.get_by_role("cell", name="x|y")).to_be_visible()
    expect(main.locator("pre")).to_have_text("<script>alert(1)</script>")


def test_networks_of_all_models_are_drawn_and_listed(page: Page, http: httpx.Client) -> None:
    for model in answered(http.get("/v1/models"))["data"]:
        name = model["id"]
        described = answered(http.get(f"/v1/models/{name}/network"))
        page.goto(f"/#/models/{name}/network")
        drawing = page.get_by_role("img", name=f"Layers of {name}")
        count = sum(len(part["layers"]) for part in described["parts"])
        expect(drawing.locator("rect")).to_have_count(count)
        page.get_by_text("The layers as a list").click()
        expect(page.get_by_role("listitem")).to_have_count(count)
        rows = 1 + len(described["state"]) if described["state"] else 0  # the head of the table, and a tensor each
        expect(page.get_by_role("table").get_by_role("row")).to_have_count(rows)
    network.show(page)
    drawing = page.get_by_role("img", name="Layers of translate-en-fr")
    expect(drawing.get_by_text("reads context 512 + output 512")).to_be_visible()
    assert_accessible(page)
    phone(page)
    assert_fits(page)


def test_a_session_is_followed_forked_reset_renewed_and_ended(page: Page, http: httpx.Client) -> None:
    sessions.show(page)
    first = page.url
    expect(fact(page, "Timesteps")).to_have_text("7")
    assert_accessible(page)
    answered(step(http, first.rpartition("/")[2], "please"))
    expect(fact(page, "Timesteps")).to_have_text("8", timeout=10_000)
    page.get_by_role("button", name="Fork").click()
    expect(page).not_to_have_url(first)
    expect(fact(page, "Timesteps")).to_have_text("8")
    page.get_by_label("Time to live in seconds").fill("60")
    page.get_by_role("button", name="Renew").click()
    expect(page.get_by_text("Renewed.")).to_be_visible()
    expect(fact(page, "Expires")).to_contain_text("s")
    expect(fact(page, "Time to live")).to_have_text("1 min, from each step on")
    steps = int(fact(page, "Step").first.inner_text())
    page.get_by_role("button", name="Reset").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Reset").click()
    expect(page.get_by_role("dialog", name="Reset this session?")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Reset").click()
    expect(page.get_by_text("The session is at its initial state again.")).to_be_visible()
    expect(fact(page, "Step").first).to_have_text(str(steps + 1))
    phone(page)
    assert_fits(page)
    page.get_by_role("button", name="End").click()
    page.get_by_role("dialog").get_by_role("button", name="End the session").click()
    expect(page.get_by_role("heading", name="Sessions")).to_be_visible()


def test_a_state_is_exported_and_imported(page: Page, tmp_path: Path) -> None:
    sessions.show(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export the state").click()
    assert download.value.suggested_filename.endswith("-step-3.safetensors")
    download.value.save_as(tmp_path / "state.safetensors")
    page.goto("/#/sessions")
    page.get_by_label("State file").set_input_files(tmp_path / "state.safetensors")
    expect(page.get_by_role("heading", name="ses_")).to_be_visible()
    expect(fact(page, "Timesteps")).to_have_text("7")


def test_the_panel_continues_a_session_that_was_chosen(page: Page) -> None:
    sessions.show(page)
    session = page.url.rpartition("/")[2]
    page.get_by_role("link", name="Continue in the panel").click()
    expect(page.get_by_role("navigation", name="Model")).to_be_visible()
    assert page.evaluate("sessionStorage.getItem('unroll-session-next-word-main')") == session


def test_many_sessions_are_listed_a_page_at_a_time_and_found_by_their_id(
    page: Page, http: httpx.Client, watch: Watch
) -> None:
    created = [new_session(http, "river") for _ in range(60)]
    page.goto("/#/sessions")
    page.get_by_label("Model").select_option("river")
    rows = page.get_by_role("row")
    expect(rows).to_have_count(51)
    expect(rows.nth(1)).to_contain_text(created[-1])
    page.get_by_role("button", name="More").click()
    expect(page.get_by_role("link", name=created[0])).to_be_visible()
    newest = new_session(http, "river")
    http.delete(f"/v1/sessions/{created[-1]}")
    expect(rows.nth(1)).to_contain_text(newest, timeout=10_000)
    expect(page.get_by_role("link", name=created[-1])).to_have_count(0)
    expect(page.get_by_role("link", name=created[0])).to_be_visible()
    assert_accessible(page)
    phone(page)
    assert_fits(page)
    page.get_by_label("Session id").fill(created[7])
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("heading", name=created[7])).to_be_visible()
    watch.expected.append("404")
    page.goto(f"/#/sessions/{'x' * 300}")
    expect(page.get_by_role("alert")).to_contain_text("Request req_")
    assert_fits(page)


def test_a_list_that_could_not_be_read_is_read_again(page: Page, watch: Watch) -> None:
    page.goto("/#/sessions")
    expect(page.get_by_role("button", name="Refresh")).to_be_visible()
    watch.expected.append("ERR_INTERNET_DISCONNECTED")
    page.context.set_offline(offline=True)
    page.get_by_role("button", name="Refresh").click()
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    page.context.set_offline(offline=False)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_tensors_of_every_dtype_are_read(page: Page, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    values = [1.0, -2.5, 0.0, 3.0]
    kinds = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
    tensors = {kind: torch.tensor(values).abs().to(getattr(torch, kind)) for kind in kinds}
    write_tensor_file(tmp_path / "all.safetensors", tensors)
    page.goto("/#/models")
    found = page.evaluate(
        """async (bytes) => {
          const { readTensors } = await import("/console/js/pages/safetensors.js");
          const { tensors } = readTensors(new Uint8Array(bytes).buffer);
          return Object.fromEntries(tensors.map(({ name, values }) => [name, [...values]]));
        }""",
        [*(tmp_path / "all.safetensors").read_bytes()],
    )
    assert found == {kind: tensor.double().tolist() for kind, tensor in tensors.items()}


def test_the_pulse_shows_what_clients_do_and_how_well_models_foresee_it(page: Page) -> None:
    pulse.show(page)
    expect(page.get_by_role("group", name="Store", exact=True)).to_contain_text("reachable")
    expect(page.get_by_role("group", name="Time of requests")).to_contain_text("p99")
    expect(page.get_by_role("group", name="next-word: perplexity")).to_contain_text("model card 25.9")
    assert_accessible(page)
    phone(page)
    assert_fits(page)


def test_metrics_that_a_proxy_does_not_pass_on_are_told(page: Page, watch: Watch) -> None:
    watch.expected.append("404")
    page.route("**/metrics", lambda route: route.fulfill(status=404, content_type="text/plain", body="no"))
    page.goto("/#/pulse")
    expect(page.get_by_role("alert")).to_contain_text("404")
    expect(page.get_by_text("does not pass /metrics on")).to_be_visible()


def test_counters_that_begin_anew_give_no_negative_rates(page: Page) -> None:
    page.goto("/#/models")
    found = page.evaluate(
        """async () => {
          const { parse } = await import("/console/js/watcher.js");
          const { rate, quantiles } = await import("/console/js/pages/pulse_metrics.js");
          const sample = (time, a, b) => ({ time, metrics: parse(
            `unroll_x_total{k="a"} ${a}\\nunroll_x_total{k="b"} ${b}\\n` +
            `unroll_y_bucket{le="1"} ${a}\\nunroll_y_bucket{le="3"} ${b}\\nunroll_y_bucket{le="+Inf"} ${b}\\n`) });
          return [rate(sample(0, 10, 10), sample(2000, 4, 16), "x_total"),
            rate(sample(0, 10, 10), sample(2000, 0, 0), "x_total"),
            ...quantiles(sample(0, 0, 0), sample(2000, 5, 10), "y", [0.5, 0.75]),
            ...quantiles(sample(0, 5, 10), sample(2000, 5, 10), "y", [0.5])];
        }"""
    )
    assert found == [3, 0, 1, 2, None]


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    """A service that asks for keys: `all` and `admin` see both models, `few` one of them."""
    with short_folder() as folder:
        write_encoder(folder / "models", "mood", "classification")
        for version in ("1", "2"):
            write_encoder(
                folder / "models", "river", "regression", text=False, version=version, hidden_size=int(version)
            )
        write(folder / "keys", entry("few", models=["river"]), entry("admin", role="admin"), entry("all"))
        with Server(folder, models=folder / "models", api_keys_file=folder / "keys") as running:
            yield running


def test_keys_decide_what_is_seen(guarded: Server, browser: Browser, watch: Watch) -> None:
    with guarded.client("all") as http:
        session = new_session(http, "mood")
    context = browser.new_context(base_url=guarded.url)
    page = context.new_page()
    watch.attach(page, guarded.url)
    watch.expected += ["401", "403"]

    def use(key: str) -> None:
        page.goto("/")
        page.evaluate("(key) => sessionStorage.setItem('unroll-api-key', key)", key)
        page.reload()

    use("few")
    expect(page.get_by_role("link", name="river", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="mood", exact=True)).to_have_count(0)
    page.goto("/#/models/river/network/1")
    expect(page.get_by_text("hidden size 1").first).to_be_visible()
    page.get_by_role("navigation", name="Version").get_by_role("link", name="2").click()
    expect(page.get_by_text("hidden size 2").first).to_be_visible()
    page.goto("/#/pulse")
    expect(page.get_by_text("one that may use all")).to_be_visible()
    assert_accessible(page)
    use("admin")
    page.goto("/#/sessions")
    expect(page.get_by_text("No sessions yet")).to_be_visible()
    page.get_by_label("Tenant").fill("*")
    page.get_by_label("Tenant").press("Tab")
    page.get_by_role("link", name=session).click()
    expect(fact(page, "Tenant")).to_have_text("tenant-all")
    expect(page.get_by_role("button", name="Fork")).to_have_count(0)
    page.get_by_role("button", name="End").click()
    page.get_by_role("dialog").get_by_role("button", name="End the session").click()
    expect(page.get_by_text("No sessions yet")).to_be_visible()
    context.close()


def test_versions_that_retire_and_the_default_are_told(page: Page) -> None:
    described = {"id": "a" * 80, "task": "next-word", "cell": "rnn_tanh", "num_layers": 1, "hidden_size": [4, 8]}
    fields = {"parameters": 1, "state_bytes": 5000, "fingerprint": "sha256:" + "ab" * 32, "dtype": "float32"}
    shown = {"verified": False, "description": "", "metrics": {}, "versions": ["2", "3"], "default_version": "3"}
    page.goto("/#/models")
    words = page.evaluate(
        """async (model) => {
          const { facts, verified } = await import("/console/js/pages/facts.js");
          return [facts(model).innerText || facts(model).textContent, verified(model).textContent];
        }""",
        described | fields | shown | {"retiring_versions": ["1"]},
    )
    assert json.dumps(words).count("retiring") == 1
    assert "1 · retiring 2 3 · default" in words[0]
    assert words[1] == "not verified"
