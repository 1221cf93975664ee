"""Workers that hang are replaced, clients go on, and no stop waits for one longer than its time."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.e2e.wire import Wire
from tests.metrics import Metrics
from tests.server import Server, answered, eventually, is_running, short_folder, step, tiny_models

WATCHDOG_SECONDS = 2.0
GRACE_SECONDS = 3.0


@pytest.fixture(scope="module")
def service() -> Iterator[Server]:
    bounds = {"watchdog_seconds": WATCHDOG_SECONDS, "grace_seconds": GRACE_SECONDS}
    with (
        short_folder() as folder,
        Server(folder, models=tiny_models(folder / "models"), workers=2, **bounds) as running,
    ):
        yield running


def session_of(wire: Wire) -> str:
    return str(wire.ask("POST", "/v1/sessions", {"model": "tiny"}).body["id"])


def test_a_worker_that_hangs_is_replaced_and_its_sessions_go_on(service: Server) -> None:
    with Wire(service.url) as wire:
        hung, session = wire.worker(service), session_of(wire)
        os.kill(hung, signal.SIGSTOP)
        eventually(lambda: not is_running(hung), WATCHDOG_SECONDS + 10)
    eventually(service.is_ready, 60)
    with service.client() as http:
        assert answered(step(http, session, "the dog"))["step"] == 1
        assert Metrics(http).value("workers_replaced_total", reason="hung") == 1
    assert "worker hung; killing it" in service.log


def test_the_log_says_where_a_worker_hangs(service: Server) -> None:
    eventually(service.is_ready, 60)
    hung = service.worker_pids()[0]
    os.kill(hung, signal.SIGSTOP)
    before = len(service.log)
    eventually(lambda: "dumping its stacks" in service.log[before:], WATCHDOG_SECONDS + 10)
    os.kill(hung, signal.SIGCONT)
    eventually(lambda: "most recent call first" in service.log[before:])
    assert "in run" in service.log[before:]


def test_a_supervisor_that_was_stopped_does_not_blame_its_workers(service: Server) -> None:
    eventually(service.is_ready, 60)
    workers = service.worker_pids()
    os.kill(service.pid, signal.SIGSTOP)
    time.sleep(2 * WATCHDOG_SECONDS)
    os.kill(service.pid, signal.SIGCONT)
    time.sleep(WATCHDOG_SECONDS)
    assert service.worker_pids() == workers


def test_a_stop_with_a_worker_that_hangs_ends_in_time(service: Server) -> None:
    eventually(service.is_ready, 60)
    os.kill(service.worker_pids()[0], signal.SIGSTOP)
    started = time.monotonic()
    assert service.terminate() == 0
    assert time.monotonic() - started < GRACE_SECONDS + 10
