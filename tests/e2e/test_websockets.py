"""WebSockets whose worker drains or is killed: their clients connect again, and no step is lost or applied twice."""

import contextlib
import json
import os
import random
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection

from tests.chaos.automaton import WORDS, Automaton
from tests.e2e.traffic import MODEL, at_work
from tests.server import Body, Server, eventually, look_up, new_session
from tests.sockets import open_socket, send, stream_of

CLIENTS = 4
WINDOW = 8
STEPS_MEANWHILE = 40
SECONDS = 60.0


@dataclass
class StreamingClient:
    """One client that keeps WINDOW numbered steps of its session under way; `answers` lack those that were lost."""

    number: int
    server: Server
    http: httpx.Client
    shared: bool
    stop: threading.Event
    session: str = ""
    words: list[list[str]] = field(default_factory=list)
    answers: dict[int, Body] = field(default_factory=dict)
    applied: int = 0
    sent: int = 0
    closings: list[int] = field(default_factory=list)
    errors: list[Body] = field(default_factory=list)

    def run(self) -> None:
        choose = random.Random(self.number)
        while not self.stop.is_set():
            with contextlib.suppress(OSError, InvalidHandshake, httpx.TransportError), self._connected() as socket:
                self._go_on(socket, choose)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[ClientConnection]:
        """A new WebSocket, on which the client goes on where its session stands."""
        with open_socket(self.server, "/v1/stream" if self.shared else stream_of(self.session)) as socket:
            self.applied = self.sent = look_up(self.http, self.session)["step"]
            yield socket

    def _go_on(self, socket: ClientConnection, choose: random.Random) -> None:
        try:
            while not self.stop.is_set():
                with contextlib.suppress(ConnectionClosed):  # the answers that came before the end are read still
                    while self.sent < self.applied + WINDOW:
                        self._send_next(socket, choose)
                answer = json.loads(socket.recv(SECONDS))
                if "error" in answer:
                    assert answer["error"]["applied"] in {"no", "unknown"}, answer
                    self.errors.append(answer)
                    return
                assert (answer["id"], answer["step"]) == (self.applied, self.applied + 1)
                self.answers[self.applied] = answer
                self.applied += 1
        except ConnectionClosed as closed:
            if closed.rcvd is not None:
                self.closings.append(closed.rcvd.code)

    def _send_next(self, socket: ClientConnection, choose: random.Random) -> None:
        if self.sent == len(self.words):
            self.words.append(choose.choices(WORDS, k=choose.randint(1, 3)))
        frame = {"input": {"text": " ".join(self.words[self.sent])}, "options": {"top_k": 1}, "step": self.sent}
        send(socket, frame | {"id": self.sent} | ({"session_id": self.session} if self.shared else {}))
        self.sent += 1

    def check(self) -> None:
        """The session has taken each step once, in order, and all answers are those of the automaton."""
        automaton = Automaton()
        state, timesteps, step = automaton.start, 0, look_up(self.http, self.session)["step"]
        assert step >= self.applied
        for number, words in enumerate(self.words[:step]):
            state, timesteps = automaton.after(state, words), timesteps + len(words)
            answer = self.answers.get(number)
            if answer is not None:
                found = answer["output"]["predictions"][0]["token"]
                assert (answer["step"], answer["timesteps"], found) == (number + 1, timesteps, f"s{state}")
        assert look_up(self.http, self.session)["timesteps"] == timesteps


@contextlib.contextmanager
def streaming(server: Server, http: httpx.Client) -> Iterator[list[StreamingClient]]:
    """Clients at work, half of them on streams for many sessions; what came of it is checked in the end."""
    stop = threading.Event()
    clients = [StreamingClient(number, server, http, number % 2 == 0, stop) for number in range(CLIENTS)]
    for client in clients:
        client.session = new_session(http, MODEL)
    with at_work(clients, stop.set):
        get_on(clients)
        yield clients
        get_on(clients)
    for client in clients:
        client.check()


def get_on(clients: list[StreamingClient]) -> None:
    """Return when each client has got some more answers."""
    before = [len(client.answers) for client in clients]
    eventually(
        lambda: all(
            len(client.answers) >= count + STEPS_MEANWHILE for client, count in zip(clients, before, strict=True)
        ),
        SECONDS,
    )


@pytest.mark.parametrize("stop", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL])
def test_streams_outlive_their_workers(server: Server, http: httpx.Client, stop: signal.Signals) -> None:
    with streaming(server, http) as clients:
        for pid in server.worker_pids():
            os.kill(pid, stop)
            get_on(clients)
            eventually(server.is_ready, 120)
    closings = [code for client in clients for code in client.closings]
    assert set(closings) <= ({1012} if stop is signal.SIGTERM else set())
    assert closings or stop is signal.SIGKILL


@pytest.mark.slow
def test_a_rolling_restart_moves_streams_without_a_loss(server: Server, http: httpx.Client) -> None:
    with streaming(server, http) as clients:
        os.kill(server.pid, signal.SIGUSR1)
        eventually(lambda: "workers renewed" in server.log, 120)
    assert all(set(client.closings) == {1012} for client in clients)
    for client in clients:
        lost = sorted(set(range(client.applied)) - client.answers.keys())
        assert not lost, f"answers were lost: {lost}, of {len(client.answers)}; errors: {client.errors}"
