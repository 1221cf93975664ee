"""The frame of the console: pages, keys, errors, sessions that survive, and the commands that it shows."""

import dataclasses
import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.console.conftest import KEY
from tests.console.pages import Watch, assert_accessible
from tests.server import Server, answered, eventually, look_up, new_session, step

IMPORT_SESSION = 'const { LiveSession } = await import("/console/js/live_session.js");'


def run(page: Page, script: str, argument: object = None) -> Any:
    """Run the body of an asynchronous function with LiveSession and `given` at hand, and return what it returns."""
    return page.evaluate(f"async (given) => {{ {IMPORT_SESSION} {script} }}", argument)


def test_all_models_are_shown_and_axe_finds_nothing(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="Models")).to_be_visible()
    expect(page.get_by_role("link", name="next-word", exact=True)).to_be_visible()
    expect(page).to_have_title("Models · Unroll")
    assert_accessible(page)


def test_the_frame_is_used_with_the_keyboard_alone(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="Models")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    expect(page.get_by_role("heading", name="Models")).to_be_visible()
    pulse = page.get_by_role("navigation", name="Console").get_by_role("link", name="Pulse")
    pulse.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_title("Pulse · Unroll")
    expect(pulse).to_have_attribute("aria-current", "page")
    expect(page.get_by_role("main")).to_be_focused()
    page.get_by_role("button", name="Change between light and dark").press("Enter")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.goto("/#/models/next-word")
    page.get_by_role("navigation", name="Model").get_by_role("link", name="Model card").press("Enter")
    expect(page.get_by_role("link", name="Model card")).to_have_attribute("aria-current", "page")
    expect(page.get_by_role("link", name="Model card")).to_be_focused()


def test_an_address_without_a_page_is_told(page: Page) -> None:
    page.goto("/#/nowhere/%zz")
    expect(page.get_by_role("heading", name="No such page")).to_be_visible()


def test_no_page_is_wider_than_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    for address in ("/", "/#/models/translate-en-fr", "/#/sessions", "/#/pulse"):
        page.goto(address)
        expect(page.get_by_role("main").locator(".loading")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, address


def test_an_error_is_told_with_its_request_id_and_tried_again(page: Page, watch: Watch) -> None:
    watch.expected.append("404")
    page.goto("/#/models/nothing")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("nothing")
    expect(alert).to_contain_text("model_not_found")
    expect(alert.locator("code")).to_have_text(re.compile("^req_"))
    with page.expect_response(lambda response: response.url.endswith("/v1/models/nothing")):
        alert.get_by_role("button", name="Try again").click()


def test_pages_load_from_the_service_alone_under_a_strict_policy(page: Page) -> None:
    response = page.goto("/")
    assert response is not None
    policy = dict(directive.split(" ", 1) for directive in response.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert "'unsafe-inline'" not in policy["style-src"]


def test_the_documentation_is_shown_by_the_service_itself(page: Page) -> None:
    page.goto("/docs")
    expect(page.locator(".opblock-summary-path", has_text="/v1/models").first).to_be_visible()


# The service behind a proxy that wants a key.


def test_a_key_is_asked_for_and_kept_in_the_tab(locked_page: Page, watch: Watch) -> None:
    page = locked_page
    watch.expected.append("401")
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.goto("#/models/next-word")
    dialog = page.get_by_role("dialog", name="API key")
    expect(dialog).to_contain_text("API key")
    assert_accessible(page)
    page.keyboard.type("wrong-key")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("This key was not accepted")
    dialog.get_by_label("Key").fill("schlüssel")
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    dialog.get_by_label("Key").fill(KEY)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="next-word", exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="next-word", exact=True)).to_be_visible()
    expect(dialog).to_be_hidden()
    assert not any(KEY in url for url in urls)
    assert page.evaluate("Object.keys(localStorage).length + document.cookie.length") == 0


def open_unlocked(page: Page) -> None:
    """Open the console in a tab that has the key."""
    page.add_init_script(f"sessionStorage.setItem('unroll-api-key', '{KEY}')")
    page.goto("")


def test_everything_works_under_a_path_of_a_proxy(locked_page: Page) -> None:
    page = locked_page
    open_unlocked(page)
    expect(page.get_by_role("link", name="next-word", exact=True)).to_be_visible()
    assert page.evaluate(
        'import("/unroll/console/js/charts.js").then((charts) => charts.load()).then((it) => it.version)'
    )
    found = page.evaluate(
        """async () => {
            const { post, socket } = await import("/unroll/console/js/api.js");
            const session = await post("v1/sessions", { model: "next-word" });
            const stream = socket(`v1/sessions/${session.id}/stream`);
            await new Promise((resolve) => stream.addEventListener("open", resolve));
            stream.send(JSON.stringify({ input: { text: "How are" }, step: 0 }));
            const { data } = await new Promise((resolve) => stream.addEventListener("message", resolve));
            stream.close();
            return [session.id, JSON.parse(data)];
        }"""
    )
    assert (found[1]["session_id"], found[1]["step"]) == (found[0], 1)
    page.get_by_role("link", name="API", exact=True).click()
    expect(page.locator(".opblock-summary-path", has_text="/v1/models").first).to_be_visible()


#: Calls as panels make them. SESSION stands for a session of next-word.
CALLS: dict[str, tuple[str, str, Any]] = {
    "model": ("GET", "v1/models/next-word", None),
    "predict": (
        "POST",
        "v1/models/next-word/predict",
        {"input": {"text": 'it\'s "half" of $HOME é\\'}, "options": {"top_k": 2}},
    ),
    "score": ("POST", "v1/models/next-word/score", {"inputs": [{"text": "I like tea."}, {"tokens": ["I", "like"]}]}),
    "translation": (
        "POST",
        "v1/models/translate-en-fr/predict",
        {"input": {"text": "Thank you very much."}, "options": {"beam_size": 2, "attention": True}},
    ),
    "forecast": (
        "POST",
        "v1/models/taxi-forecast/predict",
        {
            "input": {
                "values": [5000 + 100.5 * (row % 48) if row % 100 else None for row in range(400)],
                "timestamps": {"start": "2015-01-05T00:00:00Z", "step_seconds": 1800},
            },
            "options": {"horizon": 2, "quantiles": [0.1, 0.9]},
        },
    ),
    "peek": ("POST", "v1/sessions/SESSION/predict", {"options": {"top_k": 3}}),
    "step": ("POST", "v1/sessions/SESSION/steps", {"input": {"text": "coffee"}, "options": {"top_k": 2}, "step": 0}),
    "generation": (
        "POST",
        "v1/sessions/SESSION/generate",
        {"options": {"max_tokens": 3, "temperature": 0, "stream": True}, "commit": False},
    ),
    "usage": ("GET", "v1/usage", None),
}


def commands(page: Page, call: tuple[str, str, Any]) -> list[str]:
    """Return the commands that the page shows for a call."""
    return page.evaluate(  # type: ignore[no-any-return]
        """async ([method, path, body]) => {
            const { ROOT } = await import("/unroll/console/js/api.js");
            const { curlCommand } = await import("/unroll/console/js/snippets/curl.js");
            const { pythonProgram } = await import("/unroll/console/js/snippets/python.js");
            const call = { method, path, body: body ?? undefined, root: ROOT, withKey: true };
            return [curlCommand(call), pythonProgram(call)];
        }""",
        call,
    )


@pytest.mark.parametrize("kind", CALLS)
def test_the_commands_that_are_shown_do_what_the_page_did(
    locked_page: Page, locked_url: str, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNROLL_API_KEY", KEY)
    open_unlocked(locked_page)
    method, path, body = CALLS[kind]
    with httpx.Client(base_url=locked_url, headers={"Authorization": f"Bearer {KEY}"}) as http:
        for_shell, for_python, own = (path.replace("SESSION", new_session(http, "next-word")) for _ in range(3))
        expected = comparable(http.request(method, own, json=body).content)
    curl, _ = commands(locked_page, (method, for_shell, body))
    _, program = commands(locked_page, (method, for_python, body))
    assert KEY not in curl + program
    assert comparable(subprocess.check_output(["bash", "-c", curl], timeout=60)) == expected
    variables: dict[str, Any] = {}
    exec(program, variables)  # noqa: S102 - it is what users are told to run
    variables["client"].close() if "client" in variables else None
    printed = capsys.readouterr().out
    if isinstance(variables.get("answer"), httpx.Response):
        assert comparable(printed.encode()) == expected
    elif kind == "model":
        assert json.loads(expected)["description"] in printed
    elif kind == "generation":
        assert f'"text":"{printed.strip()}"' in expected
    else:
        own_numbers = set(numbers(dataclasses.asdict(variables["answer"])))
        assert len(own_numbers) > 1
        assert own_numbers <= set(numbers(json.loads(expected)))


def comparable(content: bytes) -> str:
    """An answer without what differs from one request to the next."""
    varying = r'"(session_id|expires_at|remaining)":("[^"]*"|\{[^}]*\}),?'
    return re.sub(varying, "", content.decode().strip()).replace(",}", "}")


def numbers(value: object) -> Iterator[float]:
    """All numbers with a fraction in a value of JSON or of the Python client."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from numbers(member)


# Sessions that go on.


def test_a_session_goes_on_after_the_service_was_killed(page: Page, server: Server, watch: Watch) -> None:
    watch.expected += ["ERR_", "503"]
    page.goto("/")
    run(
        page,
        """
            const session = new LiveSession("next-word", { settings: { durability: "fsynced" } });
            await session.open();
            window.found = [];
            window.stepping = (async () => {
                for (let i = 0; i < 40; i += 1) {
                    window.found.push((await session.step({ text: ["I", "like", "tea", "."][i % 4] })).step);
                    if (i === 5) window.underWay = true;
                }
                return session.id;
            })();
        """,
    )
    eventually(lambda: page.evaluate("window.underWay"))
    server.kill9()
    expect(page.get_by_text("The service does not answer.")).to_be_visible()
    server.restart()
    session = page.evaluate("window.stepping")
    expect(page.get_by_text("The service does not answer.")).to_be_hidden()
    assert page.evaluate("window.found") == list(range(1, 41))
    with server.client() as http:
        assert look_up(http, session)["step"] == look_up(http, session)["timesteps"] == 40
        replayed = answered(step(http, new_session(http, "next-word"), "I like tea . " * 10))
        assert replayed["timesteps"] == 40


def test_a_step_whose_answer_gets_lost_is_applied_once(page: Page, watch: Watch) -> None:
    watch.expected += ["ERR_FAILED", "502"]
    page.goto("/")
    lose = ["after", "gateway", "after"]

    def handle(route: Route) -> None:
        fault = lose.pop() if lose else None
        if fault == "gateway":
            route.fulfill(status=502, body="<h1>Bad gateway</h1>")
            return
        if fault == "after":
            route.fetch()
            route.abort()
            return
        route.continue_()

    page.route("**/steps", handle)
    script = """
        const session = new LiveSession("next-word");
        const answers = [await session.step({ text: "How are" }), await session.step({ text: "you" })];
        return answers.map(({ step, timesteps }) => [step, timesteps]);
    """
    assert run(page, script) == [[1, 2], [2, 3]]
    assert not lose


def test_a_step_without_an_answer_is_completed_after_a_reload(page: Page) -> None:
    page.goto("/")
    held: list[Route] = []

    def hold(route: Route) -> None:
        """Pass the first step on, and keep its answer."""
        if held:
            route.continue_()
            return
        held.append(route)
        route.fetch()

    page.route("**/steps", hold)
    with page.expect_request("**/steps"):
        run(page, 'void new LiveSession("next-word").step({ text: "How" }).catch(() => 0);')
    page.reload()
    script = """
        const session = new LiveSession("next-word");
        await session.resume();
        const { input, result } = session.recovered;
        return [input.text, result.step, session.info.step, (await session.step({ text: "are" })).step];
    """
    assert run(page, script) == ["How", 1, 1, 2]
    assert held


def test_a_generation_that_breaks_off_is_repeated_without_doubled_tokens(page: Page) -> None:
    page.goto("/")
    sent: list[str | None] = []

    def cut(route: Route) -> None:
        """Pass on the first third of the first answer."""
        sent.append(route.request.headers["idempotency-key"])
        if len(sent) > 1:
            route.continue_()
            return
        response = route.fetch()
        body = response.body()
        route.fulfill(response=response, body=body[: len(body) // 3])

    page.route("**/generate", cut)
    script = """
        const session = new LiveSession("next-word");
        await session.step({ text: "I would" });
        let text = "", whole = null;
        for await (const { event, data } of session.generate({ max_tokens: 8, temperature: 1 })) {
            if (event === "token") text += data.text; else whole = data;
        }
        return [text, whole.output.text, session.info.step];
    """
    text, whole, steps = run(page, script)
    assert text.strip() == whole.strip() != ""
    assert steps == 2
    assert len(sent) == 2
    assert sent[0] == sent[1]


def test_a_session_that_others_step_or_end_is_told(page: Page, server: Server, watch: Watch) -> None:
    watch.expected += ["409", "410"]
    page.goto("/")
    with server.client() as http:
        page.expose_function("stepElsewhere", lambda session: answered(step(http, session, "you"))["step"])
        page.expose_function("endElsewhere", lambda session: http.delete(f"/v1/sessions/{session}").status_code)
        script = """
            const session = new LiveSession("next-word");
            const told = async () => session.step({ text: "are" }).then(({ step }) => step, (error) => error.message);
            const found = [await told()];
            await window.stepElsewhere(session.id);
            found.push(await told(), await told());
            await window.endElsewhere(session.id);
            found.push(await told(), await told(), session.lost.code);
            await session.reset();
            found.push(await told());
            return found;
        """
        first, conflict, after, *ended, code, anew = run(page, script)
    assert (first, after, anew) == (1, 3, 1)
    assert "has moved on elsewhere" in conflict
    assert ended[0] == ended[1]
    assert code == "session_ended"


def test_events_are_read_whatever_their_line_ends_and_parts(page: Page) -> None:
    page.goto("/")
    script = """async (text) => {
        const { parseEvents } = await import("/console/js/event_stream.js");
        const bytes = new TextEncoder().encode(text);
        const body = new ReadableStream({ start(controller) {
            for (const byte of bytes) controller.enqueue(new Uint8Array([byte]));
            controller.close();
        } });
        const found = [];
        for await (const { event, data } of parseEvents(body)) found.push([event, data]);
        return found;
    }"""
    lines = ["event: token", 'data: {"é":', "data:1}", "", ": comment", "", "data: 2", "", "data: unfinished"]
    for end in ("\n", "\r\n", "\r"):
        assert page.evaluate(script, end.join(lines)) == [["token", '{"é":\n1}'], ["message", "2"]]


# What the service does.


def test_clients_that_do_not_read_the_library_cost_little_memory(server: Server) -> None:
    address = urlsplit(server.url)
    worker = Path(f"/proc/{server.worker_pids()[0]}")
    request = b"GET /console/lib/plotly.min.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with server.client() as http:
        size = len(http.get("/console/lib/plotly.min.js").content)
        before, files = resident_bytes(worker), len(list((worker / "fd").iterdir()))
        slow = [socket.create_connection((address.hostname or "", address.port or 0)) for _ in range(60)]
        try:
            for connection in slow:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.sendall(request)
                connection.recv(1)
            assert http.get("/v1/models").status_code == 200
            assert len(list((worker / "fd").iterdir())) <= files + len(slow) + 5
            assert resident_bytes(worker) - before < len(slow) * size / 8
        finally:
            for connection in slow:
                connection.close()


def resident_bytes(process: Path) -> int:
    return int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
