"""While a version rolls out, workers have it at different times; none of them says that it does not exist."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from tests.deployments import Server as StoreServer
from tests.e2e.test_upgrades import copy_in, on_both
from tests.folders import write_language_model
from tests.server import Server, answered, envelope, eventually, new_session, post, refusal, short_folder, step

INPUT = {"input": {"text": "the dog"}}
ROUTES = ("predict", "score", "generate")
OCTETS = {"Content-Type": "application/octet-stream"}
#: A worker that looks so rarely loads nothing while a test runs: it is always behind.
RARELY, OFTEN = 60, 0.1
CLIENTS = 4


@dataclass
class Rollout:
    """Two workers on one store: `ahead` loads what comes into `models`, `behind` knows of it only what it asks for."""

    folder: Path
    models: Path
    store: StoreServer
    ahead: httpx.Client
    behind: httpx.Client

    def scripts_run(self) -> int:
        """How often the store was asked to run a script so far: to say or hear what is served takes one."""
        return int(self.store.ask("INFO", "commandstats")["cmdstat_evalsha"]["calls"])

    def bring(self, model: str, version: str, seed: int) -> None:
        """Returns when the worker ahead has answered from the version."""
        copy_in(self.folder, model, version, seed)
        body = {**INPUT, "version": version}
        eventually(lambda: post(self.ahead, f"/v1/models/{model}/predict", body).status_code == HTTPStatus.OK, 60)


@pytest.fixture(scope="module", params=["one disk", "a disk each"])
def rollout(request: pytest.FixtureRequest) -> Iterator[Rollout]:
    with short_folder() as folder:
        models = folder / "models"
        write_language_model(models, "busy", seed=30)
        behind = models if request.param == "one disk" else folder / "copy"
        if behind != models:
            shutil.copytree(models, behind)
        for name in ("a", "b"):
            (folder / name).mkdir()
        store = StoreServer(folder / "store").start()
        url = f"redis://127.0.0.1:{store.port}"
        try:
            with (
                Server(folder / "a", models=models, redis_url=url, models_poll_seconds=OFTEN) as first,
                Server(folder / "b", models=behind, redis_url=url, models_poll_seconds=RARELY) as second,
                first.client() as ahead,
                second.client() as late,
            ):
                yield Rollout(folder, models, store, ahead, late)
        finally:
            store.kill()


def not_ready(response: httpx.Response) -> None:
    refusal(response, 503, "model_not_ready", "is not loaded here yet")
    assert int(response.headers["retry-after"]) >= 1


def test_a_version_that_another_worker_serves_is_not_ready_on_every_route(rollout: Rollout) -> None:
    ahead, behind = rollout.ahead, rollout.behind
    rollout.bring("busy", "2", seed=31)
    session = new_session(ahead, "busy", version="2")
    answered(step(ahead, session, "the"))
    state = ahead.get(f"/v1/sessions/{session}/state").content
    for route in ROUTES:
        not_ready(post(behind, f"/v1/models/busy/{route}", {**INPUT, "version": "2"}))
    not_ready(post(behind, "/v1/models/busy/predict", {"inputs": [{"text": "the"}] * 3, "version": "2"}))
    not_ready(post(behind, "/v1/sessions", {"model": "busy", "version": "2"}))
    not_ready(post(behind, "/v1/sessions", {"model": "busy", "version": "2"}, key="a key"))
    not_ready(behind.post("/v1/sessions/import", content=state, headers=OCTETS))
    not_ready(behind.get(f"/v1/sessions/{session}/state"))
    for call in ("steps", "predict", "generate", "fork"):
        not_ready(post(behind, f"/v1/sessions/{session}/{call}", INPUT if call in {"steps", "predict"} else {}))
    many = answered(post(behind, "/v1/sessions/steps", {"steps": [{"session_id": session, **INPUT}]}))["results"]
    assert envelope(many[0]["error"], 503, "model_not_ready")["applied"] == "no"
    assert answered(post(behind, "/v1/models/busy/predict", INPUT))["version"] == "1"
    assert answered(step(ahead, session, "dog"))["step"] == 2
    refusal(post(behind, "/v1/models/busy/predict", {**INPUT, "version": "3"}), 404, "version_not_found")
    refusal(post(behind, "/v1/sessions", {"model": "busy", "version": "3"}), 404, "version_not_found")


def test_a_model_that_another_worker_serves_is_not_ready_on_every_route(rollout: Rollout) -> None:
    behind = rollout.behind
    for path in ("/v1/models/new", "/v1/models/none"):
        refusal(behind.get(path), 404, "model_not_found")
    rollout.bring("new", "1", seed=32)
    session = new_session(rollout.ahead, "new")
    not_ready(behind.get("/v1/models/new"))
    for version in ({}, {"version": "1"}):
        for route in ROUTES:
            not_ready(post(behind, f"/v1/models/new/{route}", {**INPUT, **version}))
        not_ready(post(behind, "/v1/sessions", {"model": "new", **version}))
    not_ready(step(behind, session, "the"))
    refusal(post(behind, "/v1/models/none/predict", INPUT), 404, "model_not_found")
    refusal(post(behind, "/v1/sessions", {"model": "none"}), 404, "model_not_found")


def test_many_who_ask_for_what_does_not_exist_cost_a_few_looks(rollout: Rollout) -> None:
    def deny(_: int) -> httpx.Response:
        return post(rollout.behind, "/v1/models/none/predict", INPUT)

    with ThreadPoolExecutor(32) as pool:
        began, before = time.monotonic(), rollout.scripts_run()
        for response in pool.map(deny, range(400)):
            refusal(response, 404, "model_not_found")
        run, seconds = rollout.scripts_run() - before, time.monotonic() - began
    # Ten in a second of this worker, and as many of the one that looks so often by itself.
    assert run <= 2 * (seconds / OFTEN + 1) + 10


@dataclass(frozen=True)
class Answer:
    """What a request was answered, and between which moments."""

    sent: float
    done: float
    status: int
    code: str = ""


def ask(send: Callable[[], httpx.Response]) -> Answer:
    sent = time.monotonic()
    response = send()
    code = "" if response.is_success else response.json()["error"]["code"]
    return Answer(sent, time.monotonic(), response.status_code, code)


def asking(http: httpx.Client, model: str, version: str, stop: threading.Event) -> list[Answer]:
    """Ask for a version by turns without a session and with one, each time over a new connection."""
    answers: list[Answer] = []
    while not stop.is_set():
        answers.append(ask(lambda: post(http, f"/v1/models/{model}/predict", {**INPUT, "version": version})))
        answers.append(ask(lambda: post(http, "/v1/sessions", {"model": model, "version": version})))
    return answers


def test_nobody_denies_a_version_that_somebody_has_answered_from() -> None:
    connections = httpx.Limits(max_keepalive_connections=0)
    with short_folder() as folder:
        write_language_model(folder / "models", "busy", seed=40)
        with (
            Server(folder, models=folder / "models", workers=2, models_poll_seconds=OFTEN) as server,
            httpx.Client(base_url=server.url, timeout=30, limits=connections) as http,
            ThreadPoolExecutor(CLIENTS) as pool,
        ):
            for model, version in (("busy", "2"), ("busy", "3"), ("busy", "4"), ("new", "1")):
                stop = threading.Event()
                clients = [pool.submit(asking, http, model, version, stop) for _ in range(CLIENTS)]
                try:
                    copy_in(folder, model, version, seed=50 + int(version))
                    eventually(lambda of=(model, version): on_both(server, "model version loaded", **names(*of)), 60)
                finally:
                    stop.set()
                answers = [answer for client in clients for answer in client.result()]
                first = min(answer.done for answer in answers if answer.status in {200, 201})
                later = {(answer.status, answer.code) for answer in answers if answer.sent > first}
                assert later <= {(200, ""), (201, ""), (503, "model_not_ready")}
                assert {answer.status for answer in answers if answer.done < first} <= {404, 503}


def names(model: str, version: str) -> dict[str, str]:
    return {"model": model, "version": version}
