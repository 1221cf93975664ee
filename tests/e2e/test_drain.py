"""Workers and services that are told to go: what is under way is finished, and their clients lose nothing but time."""

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from service.store import EmbeddedServer
from tests.e2e.test_exactly_once import Client, assert_replay_agrees
from tests.e2e.traffic import at_work
from tests.e2e.wire import Reply, Wire, wires_of_one_worker
from tests.server import (
    Body,
    Server,
    eventually,
    is_running,
    look_up,
    new_session,
    short_folder,
    step,
    tiny_models,
)

CLIENTS = 4
#: Each test's clients are new: their numbers make the keys of their sessions.
NUMBERS = itertools.count(1)
STEPS_MEANWHILE = 5
BUSY: Body = {"input": {"text": "the dog"}}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[str]:
    """A store that belongs to none of the services."""
    store = EmbeddedServer(folder / "store")
    store.start()
    try:
        yield store.url
    finally:
        store.stop()


@pytest.fixture(scope="module")
def models(folder: Path) -> Path:
    return tiny_models(folder / "models")


@pytest.fixture(scope="module")
def service(folder: Path, models: Path, store: str) -> Iterator[Server]:
    """Two workers that wait long for those who look for another service, until they are told again."""
    (folder / "a").mkdir()
    patience = {"drain_seconds": 600, "grace_seconds": 600}
    with Server(folder / "a", models=models, redis_url=store, workers=2, **patience) as running:
        yield running
        if running.running:
            stop_at_once(running)


@pytest.fixture(scope="module")
def neighbour(folder: Path, models: Path, store: str) -> Iterator[Server]:
    """One worker on the same store, in a hurry."""
    (folder / "b").mkdir()
    with Server(folder / "b", models=models, redis_url=store, grace_seconds=2) as running:
        yield running


def steps(session: str) -> str:
    return f"/v1/sessions/{session}/steps"


def readiness(reply: Reply) -> str:
    return str(reply.body["status"])


def refuses_connections(server: Server) -> bool:
    try:
        Wire(server.url).close()
    except ConnectionRefusedError:
        return True
    return False


def stop_at_once(server: Server) -> int:
    """Stop as Ctrl-C does, without waiting for those who look for another service."""
    os.kill(server.pid, signal.SIGINT)
    return server.terminate()


@contextmanager
def working(http: httpx.Client) -> Iterator[list[Client]]:
    """Clients at work, each in its session; all that they were told is verified in the end."""
    clients = [Client(next(NUMBERS), http, float("inf")) for _ in range(CLIENTS)]
    with at_work(clients, partial(stop_working, clients)):
        get_on(clients)
        yield clients
        get_on(clients)
    for client in clients:
        accepted = [entry.body["step"] for entry in client.journal]
        assert accepted == list(range(1, len(accepted) + 1))
        now = look_up(http, client.session)
        assert (now["step"], now["timesteps"]) == (len(accepted), client.journal[-1].body["timesteps"])
        assert_replay_agrees(http, client)


def stop_working(clients: list[Client]) -> None:
    for client in clients:
        client.until = 0


def get_on(clients: list[Client]) -> None:
    """Return when each client has taken some more steps."""
    wanted = [len(client.journal) + STEPS_MEANWHILE for client in clients]
    eventually(lambda: all(len(c.journal) >= n for c, n in zip(clients, wanted, strict=True)), 90)


class RoundRobin(httpx.BaseTransport):
    """A load balancer that knows nothing of readiness: each request goes to the next service."""

    def __init__(self, *urls: Callable[[], str]) -> None:
        self._inner = httpx.HTTPTransport()
        self._turn = itertools.cycle(urls)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.url = httpx.URL(next(self._turn)()).copy_with(raw_path=request.url.raw_path)
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


def test_a_worker_told_to_go_finishes_what_is_open_and_opens_nothing(service: Server) -> None:
    with service.client() as http:
        first, second = new_session(http), new_session(http)
    # The client's own connection is closed by now: an idle one would keep its worker as long as the drain time lasts.
    with wires_of_one_worker(service, 5) as (pid, wires):
        slow, late, probe, opener, idle = wires
        rest = slow.begin(steps(first), BUSY)
        os.kill(pid, signal.SIGSTOP)
        late.send("POST", steps(second), BUSY)
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)
        assert late.answer().status == 200, "it was on its way when the signal came"
        draining = eventually(lambda: found if (found := probe.ask("GET", "/health/ready")).status == 503 else None)
        assert (readiness(draining), draining.closing) == ("draining", True)
        assert probe.at_its_end()
        refused = opener.ask("POST", "/v1/sessions", {"model": "tiny"})
        assert (refused.status, refused.closing, refused.headers["retry-after"]) == (503, True, "1")
        assert (refused.body["error"]["code"], refused.body["error"]["applied"]) == ("shutting_down", "no")
        done = slow.finish(rest)
        assert (done.status, done.closing, done.body["step"]) == (200, True, 1)
        assert is_running(pid), "an idle connection has its chance as long as the drain time lasts"
        stepped = idle.ask("POST", steps(second), BUSY)
        assert (stepped.status, stepped.closing, stepped.body["step"]) == (200, True, 2)
        eventually(lambda: not is_running(pid), 40)
    with service.client() as http:
        assert [look_up(http, session)["step"] for session in (first, second)] == [1, 2]
    eventually(service.is_ready, 120)


def test_a_rolling_restart_costs_clients_nothing(service: Server) -> None:
    before = service.worker_pids()
    with httpx.Client(base_url=service.url, timeout=30) as http, working(http) as clients:
        os.kill(service.pid, signal.SIGUSR1)
        eventually(lambda: not any(map(is_running, before)), 240)
        assert sum(client.retries for client in clients) == 0
    eventually(lambda: "workers renewed" in service.log)
    assert len(service.worker_pids()) == 2


@pytest.mark.slow
def test_clients_of_two_services_on_one_store_outlive_a_restart_of_each(service: Server, neighbour: Server) -> None:
    balancer = RoundRobin(lambda: service.url, lambda: neighbour.url)
    with httpx.Client(base_url="http://balancer", timeout=30, transport=balancer) as http, working(http) as clients:
        for server, stop in ((neighbour, Server.terminate), (service, stop_at_once)):
            assert stop(server) == 0
            get_on(clients)
            server.restart()
            get_on(clients)


def test_a_service_told_to_stop_serves_until_it_is_told_again(service: Server, neighbour: Server) -> None:
    with service.client() as http, Wire(service.url) as slow, Wire(service.url) as idle:
        session = new_session(http)
        idle.ask("GET", "/health/live")
        rest = slow.begin(steps(session), BUSY)
        os.kill(service.pid, signal.SIGTERM)

        def draining() -> bool:
            with Wire(service.url) as probe:
                return probe.ask("GET", "/health/ready").status == 503

        eventually(draining)
        other = step(http, session, "the", key="while draining")
        assert other.status_code == 200
        assert other.headers["connection"] == "close"
        os.kill(service.pid, signal.SIGTERM)
        eventually(lambda: refuses_connections(service))
        try:
            refused = idle.ask("POST", steps(session), BUSY)
        except ConnectionError:
            refused = None  # it had its second, and this machine took longer
        if refused is not None:
            assert (refused.status, refused.closing) == (503, True)
            assert (refused.body["error"]["code"], refused.body["error"]["applied"]) == ("shutting_down", "no")
        assert slow.finish(rest).body["step"] == 2
        assert service.terminate() == 0
    with neighbour.client() as http:
        assert look_up(http, session)["step"] == 2


def test_a_request_that_outlasts_the_grace_time_is_cut_off_and_told_so(neighbour: Server) -> None:
    with neighbour.client() as http, Wire(neighbour.url) as slow:
        session = new_session(http)
        slow.begin(steps(session), BUSY)
        with ThreadPoolExecutor(1) as pool:
            status = pool.submit(neighbour.terminate)
            reply = slow.answer()
            assert status.result() == 0
        assert (reply.status, reply.body["error"]["code"]) == (503, "shutting_down")
        assert reply.body["error"]["applied"] == "no"
        assert "did not stop in time" not in neighbour.log
