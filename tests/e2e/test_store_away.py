"""The store is away for a while: predictions go on, sessions say so in time, everything continues afterwards."""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median

import httpx
import pytest

from service.domain.sessions import Durability
from tests.chaos.automaton import Automaton
from tests.deployments import Server as StoreServer
from tests.e2e.traffic import MODEL, Client, all_step, stepping, write_model
from tests.server import NEW_CONNECTIONS, Server, answered, eventually, living_in, post, refusal, short_folder

log = logging.getLogger(__name__)
TOLD_SECONDS = 2.0
LEVELS: list[Durability] = ["memory", "memory", "fsynced", "fsynced"]
TIMES = [5.0, pytest.param(30.0, marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    server = StoreServer(tmp_path_factory.mktemp("store")).start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def service(store: StoreServer) -> Iterator[Server]:
    with short_folder() as folder:
        url, models = f"redis://127.0.0.1:{store.port}", write_model(folder / "models")
        with Server(folder, models=models, workers=2, redis_url=url) as running:
            yield running


@contextlib.contextmanager
def killed(store: StoreServer) -> Iterator[None]:
    """The process is gone; afterwards it starts again from its append-only file."""
    store.kill()
    try:
        yield
    finally:
        store.start()


AWAY: dict[str, Callable[[StoreServer], contextlib.AbstractContextManager[None]]] = {
    "stopped": StoreServer.frozen,
    "killed": killed,
}


@dataclass
class Asking:
    """Calls of one kind, one after the other until told to stop; none may fail."""

    call: Callable[[httpx.Client], None]
    seen: int = 0

    def run(self, url: str, stop: threading.Event) -> None:
        with httpx.Client(base_url=url, timeout=10, headers=NEW_CONNECTIONS) as http:
            while not stop.is_set():
                self.call(http)
                self.seen += 1


@dataclass
class Outage:
    """What everybody else is told while clients step sessions."""

    session: str
    refusals: list[float] = field(default_factory=list)

    def predict(self, http: httpx.Client) -> None:
        """Predictions without a session are right, whatever the store does."""
        body = {"input": {"text": "a b"}, "options": {"top_k": 1}}
        output = answered(post(http, f"/v1/models/{MODEL}/predict", body))["output"]
        automaton = Automaton()
        assert output["predictions"][0]["token"] == f"s{automaton.after(automaton.start, 'ab')}"

    def live(self, http: httpx.Client) -> None:
        assert http.get("/health/live").status_code == 200

    def look(self, http: httpx.Client) -> None:
        """What needs the store answers, or refuses in time and says when to come back."""
        for method, path in (("GET", f"/{self.session}"), ("GET", ""), ("POST", f"/{self.session}/predict")):
            response = http.request(method, f"/v1/sessions{path}")
            if response.status_code != 200:
                refusal(response, 503, "store_unavailable")
                assert int(response.headers["retry-after"]) >= 1
                self.refusals.append(response.elapsed.total_seconds())


@contextlib.contextmanager
def everybody_asks(server: Server, session: str) -> Iterator[Outage]:
    """Others than the clients ask all the while; whatever goes wrong for them ends the test."""
    outage, stop = Outage(session), threading.Event()
    asking = [Asking(outage.predict), Asking(outage.live), Asking(outage.look)]
    with ThreadPoolExecutor(len(asking)) as pool:
        running = [pool.submit(one.run, server.url, stop) for one in asking]
        try:
            yield outage
        finally:
            stop.set()
        for one in running:
            one.result(30)
    told = sorted(outage.refusals) or [0.0]
    counts = [one.seen for one in asking]
    log.info("%s calls beside the steps, refused in %.2f s, at most %.2f s", counts, median(told), told[-1])
    assert all(one.seen for one in asking)


def degraded(server: Server) -> bool:
    response = httpx.get(f"{server.url}/health/ready", timeout=10)
    return response.status_code == 503 and response.json()["status"] == "degraded"


def assert_continues(server: Server, clients: list[Client]) -> None:
    eventually(server.is_ready)
    all_step(clients)


@pytest.mark.parametrize("seconds", TIMES)
@pytest.mark.parametrize("how", AWAY)
def test_a_store_that_is_away_stops_its_sessions_alone(
    store: StoreServer, service: Server, how: str, seconds: float
) -> None:
    workers = service.worker_pids()
    with stepping(service, LEVELS) as clients, everybody_asks(service, clients[0].session) as outage:
        with AWAY[how](store):
            eventually(lambda: degraded(service))
            threading.Event().wait(seconds)
        assert_continues(service, clients)
    # A busy machine delays some; what waits for the store too long delays all.
    assert median(outage.refusals) < TOLD_SECONDS
    assert median(seconds for client in clients for seconds in client.refusals) < TOLD_SECONDS
    assert service.worker_pids() == workers


def test_a_private_store_that_is_killed_is_started_again_with_its_sessions(server: Server) -> None:
    with stepping(server, LEVELS) as clients, everybody_asks(server, clients[0].session):
        for _ in range(2):
            (store,) = living_in(server.state_dir)
            os.kill(store, signal.SIGKILL)
            eventually(lambda old=store: living_in(server.state_dir) - {old})
            assert_continues(server, clients)
