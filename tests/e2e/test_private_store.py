"""The private store breaks under a running service: it is mended, sessions go on, and the service stops in time."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.traffic import MODEL, write_model
from tests.server import START_SECONDS, Server, answered, eventually, living_in, new_session, short_folder, step


@pytest.fixture
def service() -> Iterator[Server]:
    with short_folder() as folder:
        settings = {"store_max_bytes": 16 * 2**20}
        with Server(folder, models=write_model(folder / "models"), **settings) as running:
            yield running


def socket_of(service: Server) -> Path:
    return Path((service.state_dir / "socket").read_text())


def store_of(service: Server) -> int:
    (process,) = living_in(service.state_dir / "store")
    return process


def test_a_removed_socket_is_back_before_a_replaced_worker_needs_it(service: Server) -> None:
    with service.client() as http:
        session = new_session(http, MODEL)
        answered(step(http, session, "a b", step=0))
    socket_of(service).unlink()
    (worker,) = service.worker_pids()
    os.kill(worker, signal.SIGKILL)
    eventually(service.is_ready, START_SECONDS)
    with service.client() as http:
        assert answered(step(http, session, "c", step=1))["step"] == 2


def test_a_store_that_hangs_is_replaced_and_its_sessions_go_on(service: Server) -> None:
    with service.client() as http:
        session = new_session(http, MODEL)
        answered(step(http, session, "a b", step=0))
        hanging = store_of(service)
        os.kill(hanging, signal.SIGSTOP)
        eventually(lambda: living_in(service.state_dir / "store") - {hanging}, 30)
        eventually(service.is_ready, START_SECONDS)
        assert answered(step(http, session, "c", step=1))["step"] == 2


@pytest.mark.parametrize("broken", ["hangs", "has no socket"])
def test_a_service_whose_store_is_broken_stops_within_its_grace_time(service: Server, broken: str) -> None:
    if broken == "hangs":
        os.kill(store_of(service), signal.SIGSTOP)
    else:
        socket_of(service).unlink()
    started = time.monotonic()
    assert service.terminate() == 0
    assert time.monotonic() - started < 12
    assert not living_in(service.state_dir / "store")
