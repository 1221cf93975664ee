"""A model is upgraded, broken, changed and taken away under load, and no client notices more than it should."""

import os
import random
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.e2e.rollouts import copy_version, events, logged_by_all_workers
from tests.e2e.task_models import INPUTS, OPENINGS, numbers, write_task_models
from tests.folders import WORDS, write_language_model
from tests.server import (
    NEW_CONNECTIONS,
    Body,
    Server,
    answered,
    assert_same_predictions,
    eventually,
    new_session,
    post,
    refusal,
    short_folder,
    step,
)

ORDINARY = [word for word in WORDS if word.isalpha()]
ALL = {"top_k": 100}
CLIENTS = 4
POLL_SECONDS = 0.2
RETRIED = {429, 502, 503, 504}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


@pytest.fixture(scope="module")
def upgraded(folder: Path) -> Iterator[Server]:
    """A service of two workers that look at their models often."""
    for number, name in enumerate(("busy", "stays", "moves", "leaves", "killed")):
        write_language_model(folder / "models", name, seed=10 + number)
    write_task_models(folder / "models")
    settings = {"models_poll_seconds": POLL_SECONDS, "store_timeout_seconds": 1}
    with Server(folder, models=folder / "models", workers=2, **settings) as running:
        yield running


@pytest.fixture
def server(upgraded: Server) -> Server:
    eventually(upgraded.is_ready, 120)
    return upgraded


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    """A client that opens a connection for every request, so that each may reach another worker."""
    with httpx.Client(base_url=server.url, timeout=30, headers=NEW_CONNECTIONS) as client:
        yield client


@dataclass
class Client:
    """Steps through session after session, repeats what the rules say may be repeated, and takes nothing else."""

    http: httpx.Client
    model: str
    number: int
    stop: threading.Event
    versions: list[str] = field(default_factory=list)

    def run(self) -> list[str]:
        """Returns the versions of its sessions in their order."""
        choose = random.Random(self.number)
        while not self.stop.is_set():
            self._session(choose)
        return self.versions

    def _session(self, choose: random.Random) -> None:
        key = f"{self.model}-{self.number}-{len(self.versions)}"
        session = answered(self._send("POST", "/v1/sessions", {"model": self.model}, key), 201)
        self.versions.append(session["version"])
        said: list[str] = []
        for at in range(8):
            said.append(choose.choice(ORDINARY))
            body = {"input": {"text": said[-1]}, "options": ALL, "step": at}
            result = answered(self._send("POST", f"/v1/sessions/{session['id']}/steps", body))
            assert (result["step"], result["version"]) == (at + 1, session["version"])
        assert_same_predictions(result["output"], self._at_once(session["version"], said))
        assert self._send("DELETE", f"/v1/sessions/{session['id']}").status_code in {204, 410}

    def _at_once(self, version: str, words: list[str]) -> Body:
        body = {"input": {"text": " ".join(words)}, "options": ALL, "version": version}
        return answered(self._send("POST", f"/v1/models/{self.model}/predict", body))["output"]

    def _send(self, method: str, path: str, body: Body | None = None, key: str | None = None) -> httpx.Response:
        def attempt() -> httpx.Response | None:
            headers = {} if key is None else {"Idempotency-Key": key}
            try:
                response = self.http.request(method, path, json=body, headers=headers)
            except httpx.TransportError:
                return None
            return None if response.status_code in RETRIED else response

        return eventually(attempt, 60)


@contextmanager
def load(server: Server, model: str) -> Iterator[Callable[[], list[str]]]:
    """Clients at work; what is given lists the versions of the sessions opened so far."""
    stop = threading.Event()
    with (
        httpx.Client(base_url=server.url, timeout=10, headers=NEW_CONNECTIONS) as http,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        clients = [Client(http, model, number, stop) for number in range(CLIENTS)]
        running = [pool.submit(client.run) for client in clients]

        def opened() -> list[str]:
            for one in running:
                if one.done():
                    one.result()
            return [version for client in clients for version in client.versions]

        try:
            yield opened
        finally:
            stop.set()
        for one in running:
            one.result()


def versions(http: httpx.Client, model: str) -> list[str]:
    found: list[str] = answered(http.get(f"/v1/models/{model}"))["versions"]
    return found


def serves_only(http: httpx.Client, model: str, version: str) -> bool:
    """Whether a few connections in a row all find this version of a model alone."""
    return all(versions(http, model) == [version] for _ in range(4))


def at_once(http: httpx.Client, model: str, version: str, text: str) -> Body:
    body = {"input": {"text": text}, "options": ALL, "version": version}
    output: Body = answered(post(http, f"/v1/models/{model}/predict", body))["output"]
    return output


def patiently(send: Callable[[], httpx.Response]) -> httpx.Response:
    """The answer to a request that may be repeated."""

    def attempt() -> httpx.Response | None:
        response = send()
        return None if response.status_code in RETRIED else response

    return eventually(attempt, 60)


def metrics(http: httpx.Client, model: str, version: str) -> str:
    """The gauges of a version."""
    lines = http.get("/metrics").text.splitlines()
    gauges = ("unroll_model_", "unroll_state_bytes")
    wanted = f'model="{model}",version="{version}"'
    return "\n".join(line for line in lines if line.startswith(gauges) and wanted in line)


def test_a_new_version_serves_new_sessions_and_the_old_one_ends_with_its_last(
    server: Server, http: httpx.Client, folder: Path
) -> None:
    old = new_session(http, "busy")
    answered(step(http, old, "the dog", options=ALL))
    with load(server, "busy") as opened:
        eventually(lambda: len(opened()) > CLIENTS)
        copy_version(folder, "busy", "2", seed=20)
        eventually(lambda: logged_by_all_workers(server, "model version loaded", model="busy", version="2"), 60)
        eventually(lambda: versions(http, "busy") == ["2"], 60)
        seen = len(opened())
        eventually(lambda: "2" in opened()[seen:] and len(opened()) > seen + 2 * CLIENTS, 60)
    assert set(opened()) == {"1", "2"}
    for _ in range(4):
        refusal(post(http, "/v1/sessions", {"model": "busy", "version": "1"}), 404, "version_not_found", "retired")
    whole = at_once(http, "busy", "1", "the dog is small")
    assert not events(server, "model version unloaded", model="busy")
    fork = answered(post(http, f"/v1/sessions/{old}/fork"), 201)["id"]
    for session in (old, fork):
        result = answered(step(http, session, "is small", options=ALL))
        assert (result["version"], result["step"]) == ("1", 2)
        assert_same_predictions(result["output"], whole)
    assert http.delete(f"/v1/sessions/{old}").status_code == 204
    answered(step(http, fork, "the"))
    assert http.delete(f"/v1/sessions/{fork}").status_code == 204
    eventually(lambda: logged_by_all_workers(server, "model version unloaded", model="busy", version="1"), 60)
    assert "unroll_model_loaded" in metrics(http, "busy", "2")
    eventually(lambda: not metrics(http, "busy", "1"))
    # A worker that has not heard yet that the other one has unloaded it says 503.
    body = {"input": {"text": "the"}, "version": "1"}
    refusal(patiently(lambda: post(http, "/v1/models/busy/predict", body)), 404, "version_not_found")


def test_sessions_of_every_task_stay_on_the_version_that_they_began_with(
    server: Server, http: httpx.Client, folder: Path
) -> None:
    old, twins = ({model: new_session(http, model, **OPENINGS.get(model, {})) for model in INPUTS} for _ in range(2))

    def feed(session: str, model: str, at: int) -> Body:
        body = {"input": INPUTS[model][at], "step": at}
        return answered(patiently(lambda: post(http, f"/v1/sessions/{session}/steps", body)))

    expected = {model: [feed(twin, model, at)["output"] for at in range(4)] for model, twin in twins.items()}
    for at in range(2):
        for model, session in old.items():
            feed(session, model, at)
    write_task_models(folder / "elsewhere", "2", seed=26)
    for model in INPUTS:
        shutil.copytree(folder / "elsewhere" / model / "2", folder / "models" / model / "2")
    for model in INPUTS:
        loaded = partial(logged_by_all_workers, server, "model version loaded", model=model, version="2")
        eventually(loaded, 60)
        eventually(partial(serves_only, http, model, "2"), 60)
    for model, session in old.items():
        fresh = new_session(http, model, **OPENINGS.get(model, {}))
        first = [feed(fresh, model, at) for at in range(2)]
        assert {result["version"] for result in first} == {"2"}
        assert numbers(first[-1]["output"]) != numbers(expected[model][1])
        for at in (2, 3):
            result = feed(session, model, at)
            assert result["version"] == "1"
            np.testing.assert_allclose(numbers(result["output"]), numbers(expected[model][at]), atol=1e-5, rtol=1e-5)


def test_a_broken_version_never_replaces_a_good_one(server: Server, http: httpx.Client, folder: Path) -> None:
    session = new_session(http, "stays")
    models = folder / "models" / "stays"
    broken = write_language_model(folder / "elsewhere", "stays", "2", seed=21)
    # Weights that are not those of the golden vectors.
    other = write_language_model(folder / "elsewhere", "stays", "3", seed=22)
    shutil.copy(other / "model.safetensors", broken)
    shutil.copytree(broken, models / "2")
    eventually(lambda: logged_by_all_workers(server, "model version refused", folder=str(models / "2")), 60)
    good = (models / "1" / "model.safetensors").read_bytes()
    (models / "1" / "model.safetensors").write_bytes(good[:-100])
    eventually(lambda: logged_by_all_workers(server, "model version refused", folder=str(models / "1")), 60)
    for _ in range(4):
        assert versions(http, "stays") == ["1"]
        assert answered(step(http, session, "the"))["version"] == "1"
    for number in ("1", "2"):
        refused = events(server, "model version refused", folder=str(models / number))
        assert len(refused) == len({line["process"] for line in refused}), "refused once by each worker"
    (models / "1" / "model.safetensors").write_bytes(good)
    shutil.copytree(other, models / "2", dirs_exist_ok=True)
    eventually(lambda: logged_by_all_workers(server, "model version loaded", model="stays", version="2"), 60)
    eventually(lambda: versions(http, "stays") == ["2"])
    assert answered(step(http, session, "dog"))["version"] == "1"


def test_a_version_changed_in_place_ends_its_sessions_honestly_and_serves_the_new_one(
    server: Server, http: httpx.Client, folder: Path
) -> None:
    session = new_session(http, "moves")
    before = at_once(http, "moves", "1", "the dog")
    shutil.copytree(
        write_language_model(folder / "elsewhere", "moves", "1", seed=23),
        folder / "models" / "moves" / "1",
        dirs_exist_ok=True,
    )
    eventually(
        lambda: logged_by_all_workers(server, "model version unloaded", model="moves", reason="changed in place"), 60
    )
    refused = patiently(lambda: step(http, session, "the"))
    assert refusal(refused, 410, "model_version_gone", "changed in place")["applied"] == "no"
    fresh = answered(patiently(lambda: post(http, "/v1/sessions", {"model": "moves"})), 201)["id"]
    result = answered(patiently(lambda: step(http, fresh, "the dog", options=ALL)))
    assert_same_predictions(result["output"], at_once(http, "moves", "1", "the dog"))
    assert result["output"]["predictions"] != before["predictions"]


def test_a_removed_version_gives_way_to_the_one_before_and_its_sessions_go_on(
    server: Server, http: httpx.Client, folder: Path
) -> None:
    models = folder / "models" / "leaves"
    copy_version(folder, "leaves", "2", seed=24)
    eventually(lambda: logged_by_all_workers(server, "model version unloaded", model="leaves", version="1"), 60)
    session = new_session(http, "leaves")
    first = answered(step(http, session, "the dog", options=ALL))
    assert first["version"] == "2"
    whole = at_once(http, "leaves", "2", "the dog is small")
    with load(server, "stays"):
        shutil.move(models / "2", folder / "taken")
        eventually(lambda: all(versions(http, "leaves") == ["1"] for _ in range(4)), 60)
    assert answered(http.get(f"/v1/sessions/{new_session(http, 'leaves')}"))["version"] == "1"
    for at in range(2):
        result = answered(step(http, session, ("is", "small")[at], options=ALL))
        assert result["version"] == "2"
    assert_same_predictions(result["output"], whole)
    shutil.move(folder / "taken", models / "2")
    eventually(lambda: all(versions(http, "leaves") == ["2"] for _ in range(4)), 60)
    assert answered(step(http, session, "the"))["step"] == 4


@pytest.mark.slow
def test_a_worker_killed_during_an_upgrade_comes_back_to_the_same_versions(
    server: Server, http: httpx.Client, folder: Path
) -> None:
    old = new_session(http, "killed")
    answered(step(http, old, "the dog"))
    with load(server, "killed") as opened:
        eventually(lambda: len(opened()) > CLIENTS)
        copy_version(folder, "killed", "2", seed=25)
        eventually(lambda: events(server, "model version loaded", model="killed", version="2"), 60)
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        eventually(lambda: "2" in opened(), 60)
        eventually(server.is_ready, 120)
        eventually(lambda: logged_by_all_workers(server, "model version loaded", model="killed", version="1"), 60)
        seen = len(opened())
        eventually(lambda: len(opened()) > seen + CLIENTS, 60)
    eventually(lambda: all(versions(http, "killed") == ["2"] for _ in range(8)), 60)
    whole = at_once(http, "killed", "1", "the dog is")
    result = answered(patiently(lambda: step(http, old, "is", options=ALL)))
    assert result["version"] == "1"
    assert_same_predictions(result["output"], whole)
    assert http.delete(f"/v1/sessions/{old}").status_code == 204
    eventually(lambda: logged_by_all_workers(server, "model version unloaded", model="killed", version="1"), 60)
    assert refusal(step(http, old, "the"), 410, "session_ended")["applied"] == "no"
