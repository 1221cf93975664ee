"""Clients that repeat themselves, workers that are killed: no step is lost, none is applied twice."""

import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.folders import WORDS
from tests.rounding import LOGIT
from tests.server import Body, Server, answered, assert_same_predictions, eventually, look_up, post

SEED = 17
CLIENTS = 16
SECONDS = 14.0
ORDINARY = [word for word in WORDS if word.isalpha()]
ALL = {"top_k": 100}
RETRIED = {502, 503, 504}


@dataclass(frozen=True)
class Entry:
    """An accepted step: its words, and the answer as it came."""

    text: str
    body: Body


@dataclass
class Client:
    """One client with its session; retries whatever it can repeat safely and writes down what was accepted."""

    number: int
    http: httpx.Client
    until: float
    session: str = ""
    journal: list[Entry] = field(default_factory=list)
    retries: int = 0
    replays: int = 0

    def run(self) -> "Client":
        choose = random.Random(SEED * 1000 + self.number)
        created = self._send("/v1/sessions", {"model": "tiny"}, f"create-{SEED}-{self.number}")
        self.session = answered(created, 201)["id"]
        while time.monotonic() < self.until:
            self._take_step(choose)
        return self

    def _take_step(self, choose: random.Random) -> None:
        at = len(self.journal)
        text = " ".join(choose.choices(ORDINARY, k=choose.randint(1, 3)))
        body: dict[str, Any] = {"input": {"text": text}, "options": ALL}
        marks = choose.choice(["key", "step", "both"])
        key = None if marks == "step" else f"{self.number}-{at}"
        if marks != "key":
            body["step"] = at
        path = f"/v1/sessions/{self.session}/steps"
        response = self._send(path, body, key)
        result = answered(response)
        assert (result["session_id"], result["step"]) == (self.session, at + 1)
        self.journal.append(Entry(text, result))
        if at % 3 == 0:
            again = self._send(path, body, key)
            assert again.status_code == 200, again.text
            assert again.headers["unroll-replayed"] == "true"
            assert again.content == response.content
            self.replays += 1

    def _send(self, path: str, body: Body, key: str | None) -> httpx.Response:
        """Send until there is an answer: neither a lost connection nor a busy service is one."""

        def attempt() -> httpx.Response | None:
            try:
                response = post(self.http, path, body, key=key)
            except httpx.TransportError:
                response = None
            if response is None or response.status_code in RETRIED:
                self.retries += 1
                return None
            return response

        return eventually(attempt, 90)


def kill_now_and_then(server: Server, stop: threading.Event) -> int:
    """Kill one of the workers whenever all are up; returns how many died."""
    choose, killed = random.Random(SEED), 0
    while not stop.wait(choose.uniform(0.3, 1.2)):
        if server.workers_up():
            os.kill(choose.choice(server.worker_pids()), signal.SIGKILL)
            killed += 1
    return killed


def assert_replay_agrees(http: httpx.Client, client: Client) -> None:
    """The journal, fed at once without a session, gives what the session gave."""
    texts = [entry.text for entry in client.journal]
    whole = " ".join(texts)
    scored = answered(post(http, "/v1/models/tiny/score", {"input": {"text": whole}}))["output"]
    start = 0
    for entry, text in zip(client.journal, texts, strict=True):
        end = start + len(text.split())
        assert entry.body["timesteps"] == end
        observed = entry.body["output"]["observed"]
        assert observed["tokens"] == end - start
        mean = sum(scored["logprobs"][start:end]) / (end - start)
        assert observed["mean_logprob"] == pytest.approx(mean, abs=LOGIT)
        start = end
    ends = sorted({*range(0, len(texts), max(1, len(texts) // 8)), len(texts) - 1})
    inputs = [{"text": " ".join(texts[: end + 1])} for end in ends]
    outputs = answered(post(http, "/v1/models/tiny/predict", {"inputs": inputs, "options": ALL}))["outputs"]
    for end, output in zip(ends, outputs, strict=True):
        assert_same_predictions(client.journal[end].body["output"], output)


def test_no_step_is_lost_and_none_doubled_while_workers_are_killed(server: Server) -> None:
    stop = threading.Event()
    limits = httpx.Limits(max_connections=CLIENTS)
    with (
        httpx.Client(base_url=server.url, timeout=10, limits=limits) as http,
        ThreadPoolExecutor(CLIENTS + 1) as pool,
    ):
        killing = pool.submit(kill_now_and_then, server, stop)
        until = time.monotonic() + SECONDS
        running = [pool.submit(Client(number, http, until).run) for number in range(CLIENTS)]
        try:
            clients = [one.result() for one in running]
        finally:
            stop.set()
        killed = killing.result()
        assert killed >= 1
        assert sum(client.retries for client in clients) >= 1
        eventually(server.is_ready, 120)
        for client in clients:
            steps = [entry.body["step"] for entry in client.journal]
            assert steps == list(range(1, len(steps) + 1))
            now = look_up(http, client.session)
            words = sum(len(entry.text.split()) for entry in client.journal)
            assert (now["step"], now["timesteps"]) == (len(steps), words)
            assert len(steps) >= 3
            assert client.replays >= 1
            assert_replay_agrees(http, client)
