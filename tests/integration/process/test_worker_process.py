"""The supervisor's side of a worker process: heartbeats, kills, and what stays open of one that cannot start."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.process.connections.listeners import duplicate_listeners
from service.process.worker_process import WorkerProcess
from tests.server import eventually

#: Sends the bytes of its first argument on its control socket, and ends when that closes.
WORKER = """
import socket, sys
control = socket.socket(fileno=int(sys.argv[3]))
control.send(sys.argv[1].encode())
control.recv(1)
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture(autouse=True)
def metrics_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))


def open_files() -> set[str]:
    return {f"{file.name} {file.readlink()}" for file in Path("/proc/self/fd").iterdir() if file.exists()}


def test_each_heartbeat_is_reported_once(listener: socket.socket) -> None:
    worker = WorkerProcess([sys.executable, "-c", WORKER, "rbb"], dict(os.environ), listener)
    eventually(worker.ready)
    assert [worker.heartbeat(), worker.heartbeat()] == [True, False]
    assert worker.ready()
    worker.kill()
    assert worker.exit_status() == -9


def test_a_worker_that_cannot_be_started_leaves_nothing_open(listener: socket.socket) -> None:
    before = open_files()
    with pytest.raises(FileNotFoundError):
        WorkerProcess(["/no/such/program"], {}, listener)
    assert open_files() == before


def test_a_worker_that_starts_leaves_the_shared_listener_non_blocking(listener: socket.socket) -> None:
    """Another worker would hang in `accept` when the connection that it saw is gone."""
    duplicates = duplicate_listeners(socket.socket(fileno=os.dup(listener.fileno())))
    try:
        assert not os.get_blocking(listener.fileno())
    finally:
        for duplicate in duplicates:
            duplicate.close()
