"""The log at its finest level has neither texts of users nor keys, whatever goes wrong with them."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.application.ports import Engine
from service.bootstrap.worker import Overrides
from tests.captured_log import captured_log
from tests.integration.access.test_keys_file import entry, write
from tests.integration.access.worker import Client, Socket, running

TEXT, KEY = "Zanzibar", "key-that-nobody-may-read"
CRASH = "please crash"
INPUT = {"input": {"text": f"the {TEXT} cat"}}
TENSOR = {"name": TEXT, "datatype": "BYTES", "shape": [1, 1], "data": [TEXT]}


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    with captured_log(monkeypatch, "debug") as stream:
        yield stream


class CrashingEngine:
    """An engine that crashes for some texts, and tells them in its error."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def submit(self, model: Any, operation: Any, *arguments: Any) -> None:
        if operation.input is not None and CRASH in (operation.input.text or ""):
            raise ValueError(f"cannot read {operation.input.text}")
        self._engine.submit(model, operation, *arguments)


REQUESTS: list[tuple[str, str, object]] = [
    ("POST", "/v1/models/tiny/predict", INPUT),
    ("POST", "/v1/models/tiny/predict", {"input": {"text": f"{TEXT} {CRASH}"}}),
    ("POST", "/v1/models/tiny/predict", {"input": {"tokens": [TEXT, 7]}}),
    ("POST", "/v1/models/tiny/predict", {TEXT: 1}),
    ("POST", "/v1/models/tiny/score", INPUT),
    ("POST", "/v1/models/tiny/generate", INPUT),
    ("POST", "/v1/models/tiny/generate", INPUT | {"options": {"stream": True, "stop": [TEXT]}}),
    ("POST", f"/v1/models/{TEXT}/predict", INPUT),
    ("GET", f"/v1/sessions?cursor={TEXT}", None),
    ("POST", "/v1/sessions/SESSION/steps", INPUT),
    ("POST", "/v1/sessions/SESSION/steps", {"input": {"text": f"{TEXT} {CRASH}"}}),
    ("POST", "/v1/sessions/SESSION/steps", {"input": {"text": TEXT}, "step": 40}),
    ("POST", "/v1/sessions/steps", {"steps": [INPUT | {"session_id": "SESSION"}]}),
    ("POST", "/v1/sessions/import", TEXT.encode()),
    ("POST", "/v1/completions", {"model": "tiny", "prompt": TEXT}),
    ("POST", "/v2/models/tiny/generate", {"text_input": TEXT}),
    ("POST", "/v2/models/tiny/infer", {"inputs": [TENSOR]}),
    ("POST", "/translate", {"q": TEXT, "source": "en", "target": "fr", "api_key": KEY}),
    ("GET", f"/{TEXT}", None),
]  # fmt: skip


async def test_the_log_has_neither_texts_nor_keys(place: tuple[Path, str], tmp_path: Path, log: io.StringIO) -> None:
    folder, url = place
    write(tmp_path / "keys", entry(KEY, id="key_1", tenant="alice"))
    overrides = Overrides(engine=CrashingEngine)  # type: ignore[arg-type]  # it has what the engine has
    settings = {"api_keys_file": tmp_path / "keys", "access_log": "all", "key_prefix": tmp_path.name}
    async with running(folder, url, overrides, **settings) as app:
        client = Client(app, KEY)
        session = await client.session()
        statuses = set()
        for method, target, body in REQUESTS:
            given = body if isinstance(body, bytes) or body is None else json.loads(
                json.dumps(body).replace("SESSION", session)
            )  # fmt: skip
            statuses.add((await client.ask(method, target.replace("SESSION", session), given)).status)
        socket = Socket([json.dumps(INPUT).encode(), f'{{"{TEXT}": '.encode(), b"\xff" + TEXT.encode()])
        await client.ask("GET", f"/v1/sessions/{session}/stream", socket=socket)
        for key in (f"{KEY}x", "é" + KEY, ""):
            statuses.add((await Client(app, key).ask("GET", "/v1/models")).status)
    assert statuses >= {200, 401, 404, 409, 422, 500}
    written = log.getvalue()
    events = {json.loads(line)["event"] for line in written.splitlines()}
    assert {"request", "request crashed", "step crashed"} <= events
    for secret in (TEXT, CRASH, KEY, session):
        assert secret not in written
    lines = [json.loads(line) for line in written.splitlines()]
    assert {"step", "answered", "phases"} <= {name for line in lines for name in line}


async def test_the_lines_of_steps_tell_where_their_sessions_stand(
    place: tuple[Path, str], tmp_path: Path, log: io.StringIO
) -> None:
    folder, url = place
    a_step: dict[str, object] = {"input": {"text": "the cat"}}
    async with running(folder, url, access_log="all", key_prefix=tmp_path.name) as app:
        client = Client(app, "")
        session = await client.session()
        steps = f"/v1/sessions/{session}/steps"
        await client.ask("POST", steps, a_step)
        await client.ask("POST", steps, a_step | {"step": 7})
        await client.ask("POST", f"/v1/sessions/{session}/generate", {"commit": True, "options": {"stream": True}})
        several = [a_step | {"session_id": session}, a_step | {"session_id": session}, a_step | {"session_id": "none"}]
        await client.ask("POST", "/v1/sessions/steps", {"steps": several})
        await client.ask("POST", f"/v1/sessions/{session}/predict", a_step)
        await client.ask("POST", f"/v1/sessions/{session}/reset", {})
        socket = Socket([json.dumps(a_step).encode()] * 3 + [b"no JSON"])
        await client.ask("GET", f"/v1/sessions/{session}/stream", socket=socket)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    told = [line for line in lines if line["event"] == "request" and "sessions" in line["route"]][1:]
    assert [(line["status"], line.get("step"), line.get("answered")) for line in told] == [
        (200, 1, None),
        (409, 1, None),
        (200, 2, None),
        (200, None, 2),
        (200, 4, None),
        (200, 5, None),
        (101, 8, 3),
    ]
    assert [line["model"] for line in told] == ["tiny", None, "tiny", None, "tiny", "tiny", "tiny"]
    assert list(told[0]["phases"])[-3:] == ["queue", "run", "commit"]
    assert all(0 <= milliseconds <= told[0]["milliseconds"] for milliseconds in told[0]["phases"].values())
    assert "phases" not in told[3], "the phases of several steps overlap"


async def test_lines_of_failures_alone_measure_no_phases(
    place: tuple[Path, str], tmp_path: Path, log: io.StringIO
) -> None:
    folder, url = place
    async with running(folder, url, access_log="errors", key_prefix=tmp_path.name) as app:
        client = Client(app, "")
        session = await client.session()
        await client.ask("POST", f"/v1/sessions/{session}/steps", INPUT | {"step": 7})
    (line,) = [line for line in map(json.loads, log.getvalue().splitlines()) if line["event"] == "request"]
    assert (line["status"], line["step"]) == (409, 0)
    assert "phases" not in line
