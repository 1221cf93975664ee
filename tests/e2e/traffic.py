"""Clients that step sessions of the real service without a pause, retry by the rules, and prove what came of it.

The model is an automaton of whole numbers, so that every answer can be compared with its replay, exactly.
"""

import contextlib
import logging
import os
import random
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx

from service.domain.sessions import Durability
from tests.chaos.automaton import WORDS, Automaton, write_automaton
from tests.server import NEW_CONNECTIONS, Body, Server, answered, eventually, is_running, look_up, post

log = logging.getLogger(__name__)
MODEL = "adder"
SECONDS = 90.0
SILENCE_SECONDS = 5.0


def write_model(root: Path) -> Path:
    """Write the model that all clients use into the folder."""
    write_automaton(root, MODEL)
    return root


def kill_a_worker(server: Server) -> None:
    """Kill one worker, and return when its successor serves."""
    pid = server.worker_pids()[0]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not is_running(pid))
    eventually(server.workers_up, 60)


@dataclass(frozen=True)
class Entry:
    """An acknowledged step: its words, its answer, and when that came."""

    words: list[str]
    answer: Body
    at: float


@dataclass
class Client:
    """One client with its session, and what it was told of each of its steps."""

    number: int
    durability: Durability
    http: httpx.Client
    stop: threading.Event
    session: str = ""
    journal: list[Entry] = field(default_factory=list)
    acknowledged: int = 0
    retries: int = 0
    replays: int = 0
    taken_back: int = 0
    longest_gap: float = 0.0
    refusals: list[float] = field(default_factory=list)
    running: "Future[None] | None" = None

    def open(self, wanted: Callable[[str], bool]) -> None:
        """Open sessions until one is as wanted; the others are ended."""
        body = {"model": MODEL, "durability": self.durability}
        for _ in range(1000):
            session = answered(self._send("/v1/sessions", body, uuid.uuid4().hex), 201)["id"]
            if wanted(session):
                self.session = session
                return
            assert self.http.delete(f"/v1/sessions/{session}").status_code in {204, 503}
        raise AssertionError("no session was as wanted")

    def run(self) -> None:
        """Step until told to stop; what is under way then is brought to its end."""
        choose = random.Random(self.number)
        while not self.stop.is_set():
            self._step(choose.choices(WORDS, k=choose.randint(1, 3)))

    def _step(self, words: list[str]) -> None:
        at = len(self.journal)
        body = {"input": {"text": " ".join(words)}, "options": {"top_k": 1}, "step": at}
        key = f"{self.number} {self.acknowledged} {self.taken_back}" if self.acknowledged % 2 else None
        response = self._send(f"/v1/sessions/{self.session}/steps", body, key)
        if response.status_code == 409:
            self._take_back(response.json()["error"])
            return
        self.acknowledged += 1
        self.replays += "unroll-replayed" in response.headers
        entry = Entry(words, answered(response), time.monotonic())
        if self.journal:
            self.longest_gap = max(self.longest_gap, entry.at - self.journal[-1].at)
        self.journal.append(entry)

    def _take_back(self, error: Body) -> None:
        """A store may roll sessions back at `memory`, and has to say how far."""
        assert (error["code"], self.durability) == ("step_conflict", "memory"), error
        assert error["step"] < len(self.journal), error
        self.taken_back += len(self.journal) - error["step"]
        del self.journal[error["step"] :]

    def _send(self, path: str, body: Body, key: str | None) -> httpx.Response:
        """Send until there is an answer for good: after silence at once, after 503 when it says so."""
        deadline, last = time.monotonic() + SECONDS, "silence"
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                response = post(self.http, path, body, key=key)
                if response.status_code != 503:
                    return response
                last = response.text
                assert response.json()["error"]["applied"] in {"no", "yes", "unknown"}, last
                self.refusals.append(response.elapsed.total_seconds())
                threading.Event().wait(float(response.headers["retry-after"]))
            self.retries += 1
        raise AssertionError(f"{path} got no answer for good within {SECONDS} s: {last}")

    def more(self, count: int) -> None:
        """Return after so many further acknowledged steps."""
        wanted = self.acknowledged + count

        def seen() -> bool:
            assert self.running is not None
            if self.running.done():
                self.running.result()
            return self.acknowledged >= wanted

        eventually(seen, SECONDS)

    def check(self) -> None:
        """The session stands where the journal ends, and every answer is that of the replay."""
        automaton = Automaton()
        state, timesteps = automaton.start, 0
        for number, entry in enumerate(self.journal, start=1):
            state, timesteps = automaton.after(state, entry.words), timesteps + len(entry.words)
            found = entry.answer["output"]["predictions"][0]["token"]
            place = (entry.answer["session_id"], entry.answer["step"], entry.answer["timesteps"], found)
            assert place == (self.session, number, timesteps, f"s{state}")
        now = look_up(self.http, self.session)
        assert (now["step"], now["timesteps"], now["durability"]) == (len(self.journal), timesteps, self.durability)


class Worker(Protocol):
    """A client that works until it is told to stop."""

    def run(self) -> object: ...


@contextlib.contextmanager
def at_work(clients: Sequence[Worker], stop: Callable[[], None]) -> Iterator[None]:
    """Run the clients meanwhile, each in a thread; then `stop` them, and raise what any of them raised."""
    with ThreadPoolExecutor(len(clients)) as pool:
        running = [pool.submit(client.run) for client in clients]
        try:
            yield
        finally:
            stop()
        for client in running:
            client.result(SECONDS)


@contextlib.contextmanager
def stepping(
    server: Server, levels: Sequence[Durability], wanted: Sequence[Callable[[str], bool]] = ()
) -> Iterator[list[Client]]:
    """A client for each of `levels`, stepping meanwhile, on a session that is as `wanted`; checked at the end."""
    stop = threading.Event()
    with (
        httpx.Client(base_url=server.url, timeout=SILENCE_SECONDS, headers=NEW_CONNECTIONS) as http,
        ThreadPoolExecutor(len(levels)) as pool,
    ):
        clients = [Client(number, level, http, stop) for number, level in enumerate(levels)]
        for client, condition in zip(clients, wanted or [bool] * len(clients), strict=True):
            client.open(condition)
        try:
            for client in clients:
                client.running = pool.submit(client.run)
            all_step(clients)
            yield clients
        finally:
            stop.set()
        for client in clients:
            assert client.running is not None
            client.running.result(SECONDS)
        for client in clients:
            client.check()
        _report(clients)


def all_step(clients: Sequence[Client], count: int = 5) -> None:
    """Return after so many further acknowledged steps of each client."""
    for client in clients:
        client.more(count)


def _report(clients: Sequence[Client]) -> None:
    log.info(
        "%d steps acknowledged, %d taken back; %d retries, %d replays, longest gap %.1f s",
        sum(client.acknowledged for client in clients),
        sum(client.taken_back for client in clients),
        sum(client.retries for client in clients),
        sum(client.replays for client in clients),
        max(client.longest_gap for client in clients),
    )
