"""The watched embedded server: mended when it dies, hangs or loses its socket, and full before its disk is."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import OutOfMemoryError
from store_support import wait_until

from service.store import EmbeddedServer
from service.store.embedded import watcher
from service.store.embedded.watcher import ServerWatcher

Start = Callable[[str], EmbeddedServer]


@pytest.fixture
def server(start_server: Start) -> Iterator[EmbeddedServer]:
    """A watched server that holds one key."""
    server = start_server("state")
    ask(server, "SET", "kept", "yes")
    with ServerWatcher(server):
        yield server


def ask(server: EmbeddedServer, *command: str) -> object:
    """Return the reply to one command on a connection of its own."""
    with closing(Redis.from_url(server.url, socket_timeout=2)) as client:
        return client.execute_command(*command)  # type: ignore[no-untyped-call]


def process_of(server: EmbeddedServer) -> int:
    with closing(Redis.from_url(server.url, socket_timeout=2)) as client:
        return int(client.info("server")["process_id"])


def max_bytes_of(server: EmbeddedServer) -> int:
    with closing(Redis.from_url(server.url, socket_timeout=2)) as client:
        return int(client.config_get("maxmemory")["maxmemory"])


def socket_of(server: EmbeddedServer) -> Path:
    return Path(server.url.removeprefix("unix://"))


def test_a_server_that_died_is_started_again_with_its_data(server: EmbeddedServer) -> None:
    process = process_of(server)
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: server.state() == "ready")
    assert process_of(server) != process
    assert ask(server, "GET", "kept") == b"yes"


@pytest.mark.parametrize("break_socket", [Path.unlink, lambda path: path.rename(path.with_name("other.sock"))])
def test_a_server_whose_socket_is_gone_gets_another_one_at_the_same_place(
    server: EmbeddedServer, break_socket: Callable[[Path], object]
) -> None:
    url = server.url
    break_socket(socket_of(server))
    wait_until(lambda: server.state() == "ready")
    assert server.url == url
    assert ask(server, "GET", "kept") == b"yes"


def test_a_server_whose_folder_of_the_socket_was_cleaned_up_is_mended(start_server: Start) -> None:
    server = start_server("/".join(["long" * 10] * 4))
    with ServerWatcher(server):
        shutil.rmtree(socket_of(server).parent)
        wait_until(lambda: server.state() == "ready")


def test_a_server_that_hangs_is_replaced(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "MAX_SILENT_PINGS", 1)
    process = process_of(server)
    os.kill(process, signal.SIGSTOP)
    wait_until(lambda: server.state() == "ready")
    assert process_of(server) != process
    assert ask(server, "GET", "kept") == b"yes"


def test_a_server_that_is_slow_once_is_left_alone(server: EmbeddedServer) -> None:
    process = process_of(server)
    os.kill(process, signal.SIGSTOP)
    time.sleep(2.5)
    os.kill(process, signal.SIGCONT)
    wait_until(lambda: server.state() == "ready")
    assert process_of(server) == process


@pytest.mark.parametrize("broken", ["stopped", "no socket"])
def test_a_broken_server_stops_within_seconds(start_server: Start, broken: str) -> None:
    server = start_server("state")
    process = process_of(server)
    if broken == "stopped":
        os.kill(process, signal.SIGSTOP)
    else:
        socket_of(server).unlink()
    started = time.monotonic()
    server.stop()
    assert time.monotonic() - started < 5
    assert not server.alive()


def test_a_watched_server_stops_at_once_while_it_is_being_replaced(start_server: Start) -> None:
    server = start_server("state")
    with ServerWatcher(server):
        os.kill(process_of(server), signal.SIGKILL)
        time.sleep(2 * watcher.POLL_SECONDS)
        started = time.monotonic()
    server.stop()
    assert time.monotonic() - started < 5
    assert not server.alive()


def test_writes_are_refused_while_the_disk_is_nearly_full(
    start_server: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server("state")
    ask(server, "SET", "kept", "yes")
    actual, free = shutil.disk_usage(server.data), [10 * 2**20]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: actual._replace(free=free[0]))
    with ServerWatcher(server, min_free_bytes=20 * 2**20):
        wait_until(lambda: max_bytes_of(server) == 1)
        with pytest.raises(OutOfMemoryError):
            ask(server, "SET", "more", "yes")
        assert ask(server, "GET", "kept") == b"yes"
        assert ask(server, "DEL", "kept") == 1
        assert "nearly full" in caplog.text
        free[0] = 30 * 2**20
        wait_until(lambda: max_bytes_of(server) > 1)
        assert ask(server, "SET", "more", "yes")
