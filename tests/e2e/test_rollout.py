"""Tests of a rollout: workers load a version at different times, and none answers that it does not exist."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from tests.deployments import Server as StoreServer
from tests.e2e.rollouts import copy_version, logged_by_all_workers
from tests.folders import write_language_model
from tests.server import (
    NEW_CONNECTIONS,
    Server,
    answered,
    envelope,
    eventually,
    new_session,
    post,
    refusal,
    short_folder,
    step,
)

INPUT = {"input": {"text": "the dog"}}
ROUTES = ("predict", "score", "generate")
OCTETS = {"Content-Type": "application/octet-stream"}
#: Seconds between polls of the models folder. A worker with the slow interval loads nothing while a test runs.
SLOW_POLL, FAST_POLL = 60, 0.1
CLIENTS = 4


@dataclass
class Rollout:
    """Two workers on one store: the up-to-date one loads new versions in `models`, the outdated one does not."""

    folder: Path
    models: Path
    store: StoreServer
    up_to_date: httpx.Client
    outdated: httpx.Client

    def scripts_run(self) -> int:
        """Return the number of scripts that the store has run; each access to the registry of versions runs one."""
        return int(self.store.ask("INFO", "commandstats")["cmdstat_evalsha"]["calls"])

    def roll_out(self, model: str, version: str, seed: int) -> None:
        """Add a version and wait until the up-to-date worker answers from it."""
        copy_version(self.folder, model, version, seed)
        body = {**INPUT, "version": version}
        eventually(lambda: post(self.up_to_date, f"/v1/models/{model}/predict", body).status_code == HTTPStatus.OK, 60)


@pytest.fixture(scope="module", params=["one disk", pytest.param("a disk each", marks=pytest.mark.slow)])
def rollout(request: pytest.FixtureRequest) -> Iterator[Rollout]:
    with short_folder() as folder:
        models = folder / "models"
        write_language_model(models, "busy", seed=30)
        outdated_models = models if request.param == "one disk" else folder / "copy"
        if outdated_models != models:
            shutil.copytree(models, outdated_models)
        for name in ("a", "b"):
            (folder / name).mkdir()
        store = StoreServer(folder / "store").start()
        url = f"redis://127.0.0.1:{store.port}"
        try:
            with (
                Server(folder / "a", models=models, redis_url=url, models_poll_seconds=FAST_POLL) as first,
                Server(folder / "b", models=outdated_models, redis_url=url, models_poll_seconds=SLOW_POLL) as second,
                first.client() as up_to_date,
                second.client() as outdated,
            ):
                yield Rollout(folder, models, store, up_to_date, outdated)
        finally:
            store.kill()


def not_ready(response: httpx.Response) -> None:
    refusal(response, 503, "model_not_ready", "is not loaded here yet")
    assert int(response.headers["retry-after"]) >= 1


def test_a_version_that_another_worker_serves_is_not_ready_on_every_route(rollout: Rollout) -> None:
    up_to_date, outdated = rollout.up_to_date, rollout.outdated
    rollout.roll_out("busy", "2", seed=31)
    session = new_session(up_to_date, "busy", version="2")
    answered(step(up_to_date, session, "the"))
    state = up_to_date.get(f"/v1/sessions/{session}/state").content
    for route in ROUTES:
        not_ready(post(outdated, f"/v1/models/busy/{route}", {**INPUT, "version": "2"}))
    not_ready(post(outdated, "/v1/models/busy/predict", {"inputs": [{"text": "the"}] * 3, "version": "2"}))
    not_ready(post(outdated, "/v1/sessions", {"model": "busy", "version": "2"}))
    not_ready(post(outdated, "/v1/sessions", {"model": "busy", "version": "2"}, key="a key"))
    not_ready(outdated.post("/v1/sessions/import", content=state, headers=OCTETS))
    not_ready(outdated.get(f"/v1/sessions/{session}/state"))
    for call in ("steps", "predict", "generate", "fork"):
        not_ready(post(outdated, f"/v1/sessions/{session}/{call}", INPUT if call in {"steps", "predict"} else {}))
    results = answered(post(outdated, "/v1/sessions/steps", {"steps": [{"session_id": session, **INPUT}]}))["results"]
    assert envelope(results[0]["error"], 503, "model_not_ready")["applied"] == "no"
    assert answered(post(outdated, "/v1/models/busy/predict", INPUT))["version"] == "1"
    assert answered(step(up_to_date, session, "dog"))["step"] == 2
    refusal(post(outdated, "/v1/models/busy/predict", {**INPUT, "version": "3"}), 404, "version_not_found")
    refusal(post(outdated, "/v1/sessions", {"model": "busy", "version": "3"}), 404, "version_not_found")


def test_a_model_that_another_worker_serves_is_not_ready_on_every_route(rollout: Rollout) -> None:
    outdated = rollout.outdated
    for path in ("/v1/models/new", "/v1/models/none"):
        refusal(outdated.get(path), 404, "model_not_found")
    rollout.roll_out("new", "1", seed=32)
    session = new_session(rollout.up_to_date, "new")
    not_ready(outdated.get("/v1/models/new"))
    for version in ({}, {"version": "1"}):
        for route in ROUTES:
            not_ready(post(outdated, f"/v1/models/new/{route}", {**INPUT, **version}))
        not_ready(post(outdated, "/v1/sessions", {"model": "new", **version}))
    not_ready(step(outdated, session, "the"))
    refusal(post(outdated, "/v1/models/none/predict", INPUT), 404, "model_not_found")
    refusal(post(outdated, "/v1/sessions", {"model": "none"}), 404, "model_not_found")


def test_requests_for_an_unknown_model_share_registry_reads(rollout: Rollout) -> None:
    def request_unknown_model(_: int) -> httpx.Response:
        return post(rollout.outdated, "/v1/models/none/predict", INPUT)

    with ThreadPoolExecutor(32) as pool:
        started, before = time.monotonic(), rollout.scripts_run()
        for response in pool.map(request_unknown_model, range(400)):
            refusal(response, 404, "model_not_found")
        scripts, seconds = rollout.scripts_run() - before, time.monotonic() - started
    # This worker reads the registry ten times per second at most; the other one polls as often by itself.
    assert scripts <= 2 * (seconds / FAST_POLL + 1) + 10


@dataclass(frozen=True)
class Answer:
    """The status and error code of a response, and the times of the request and of the response."""

    sent_at: float
    answered_at: float
    status: int
    code: str = ""


def timed(send: Callable[[], httpx.Response]) -> Answer:
    sent_at = time.monotonic()
    response = send()
    code = "" if response.is_success else response.json()["error"]["code"]
    return Answer(sent_at, time.monotonic(), response.status_code, code)


def loaded_by_all_workers(server: Server, model: str, version: str) -> bool:
    return logged_by_all_workers(server, "model version loaded", model=model, version=version)


def request_until(http: httpx.Client, model: str, version: str, stop: threading.Event) -> list[Answer]:
    """Request predictions and sessions of a version by turns until `stop` is set."""
    answers: list[Answer] = []
    while not stop.is_set():
        answers.append(timed(lambda: post(http, f"/v1/models/{model}/predict", {**INPUT, "version": version})))
        answers.append(timed(lambda: post(http, "/v1/sessions", {"model": model, "version": version})))
    return answers


def test_no_worker_answers_404_for_a_version_that_another_has_served() -> None:
    with short_folder() as folder:
        write_language_model(folder / "models", "busy", seed=40)
        with (
            Server(folder, models=folder / "models", workers=2, models_poll_seconds=FAST_POLL) as server,
            httpx.Client(base_url=server.url, timeout=30, headers=NEW_CONNECTIONS) as http,
            ThreadPoolExecutor(CLIENTS) as pool,
        ):
            for model, version in (("busy", "2"), ("busy", "3"), ("busy", "4"), ("new", "1")):
                stop = threading.Event()
                clients = [pool.submit(request_until, http, model, version, stop) for _ in range(CLIENTS)]
                try:
                    copy_version(folder, model, version, seed=50 + int(version))
                    eventually(partial(loaded_by_all_workers, server, model, version), 60)
                finally:
                    stop.set()
                answers = [answer for client in clients for answer in client.result()]
                first = min(answer.answered_at for answer in answers if answer.status in {200, 201})
                later = {(answer.status, answer.code) for answer in answers if answer.sent_at > first}
                assert later <= {(200, ""), (201, ""), (503, "model_not_ready")}
                assert {answer.status for answer in answers if answer.answered_at < first} <= {404, 503}
