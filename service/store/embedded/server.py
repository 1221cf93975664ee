"""Private server of `unroll serve`, on a Unix socket with an append-only file in the state directory.

    state_dir/lock         held by the supervisor; released when it ends for any reason
    state_dir/socket       the path of the server's socket
    state_dir/store.log    the server's log
    state_dir/store/       the server's data
    state_dir/store/lock   held by the server itself: no second server can write the same data

The server runs in its own process session and survives a supervisor that is killed; the next supervisor attaches to it.
All calls block, because the supervisor has no event loop. `watcher.py` restarts a server that died or does not answer.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.retry import Retry

from service.domain.errors import SettingsError
from service.store.embedded.binary import find_server
from service.store.embedded.file_lock import FileLock, make_private
from service.store.embedded.memory import default_max_bytes
from service.store.embedded.polling import POLL_SECONDS, poll

_MAX_SOCKET_BYTES = 100  # the kernel allows 107
_REPLY_SECONDS = 2.0
_LOADING_SECONDS = 600.0
#: Time in which the server must shut down. It writes what is not written yet, less than a second's worth.
_STOP_SECONDS = 8.0
#: Limit of the memory of a server that takes no writes, see `EmbeddedServer.refuse_writes`.
NO_WRITES_BYTES = 1
_LOG_LINES = 20
_SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appendfsync": "everysec",
    # A busy service writes the default of 64 MB in seconds, and every rewrite delays all steps by 0.1 s.
    "auto-aof-rewrite-min-size": "256mb",
    "save": "",
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
    "logfile": "",
}

#: What a server replies to PING. A server that is "lost" runs, but its socket is gone.
ServerState: TypeAlias = Literal["ready", "loading", "silent", "lost", "ended"]


class EmbeddedServer:
    """Server of one state directory. Waits end after `timeout` seconds; loading the data may take ten minutes.

    The server refuses writes beyond `max_bytes` of memory; reads, deletions and the ends of sessions go on.
    """

    def __init__(self, state_dir: Path, timeout: float = 30.0, max_bytes: int | None = None) -> None:
        self._max_bytes = default_max_bytes(workers=1) if max_bytes is None else max_bytes
        self._folder = state_dir
        self._data = state_dir / "store"
        self._timeout = timeout
        self._lock: FileLock | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._socket = Path()
        self._interrupted = threading.Event()

    @property
    def url(self) -> str:
        """URL of the server. Valid after `start`, and unchanged by `restart`."""
        return f"unix://{quote(str(self._socket))}"

    def start(self) -> None:
        """Attach to the server that a killed supervisor left running, or start one; return when it replies.

        Raises SettingsError if another supervisor uses the folder, no executable is found or the server does not start.
        """
        self._interrupted.clear()
        self._folder = make_private(self._folder)
        self._lock_folder()
        try:
            self._data = make_private(self._folder / "store")
            if not self._attach():
                with self._claim_data() as data_lock:
                    self._socket = self._choose_socket()
                    self._launch(data_lock)
        except BaseException:
            self._unlock_folder()
            raise

    def alive(self) -> bool:
        """Return whether the server runs: a child by its process, an attached server by its lock."""
        return not self._ended()

    def state(self) -> ServerState:
        """Return the state of the server, by its process, its socket and its reply to PING."""
        if self._ended():
            return "ended"
        return self._ping() if self._socket.is_socket() else "lost"

    def restart(self) -> None:
        """Start the server again if it ended. Raises SettingsError."""
        if not self.alive():
            with self._claim_data() as data_lock:
                self._launch(data_lock)

    def replace(self) -> None:
        """End the server in whatever state it is, and start it again; it loads its data. Raises SettingsError."""
        self._terminate()
        self.restart()

    def refuse_writes(self, refuse: bool) -> None:
        """Make the server refuse all writes but deletions, as if its memory were full, or accept them again.

        Raises OSError and RedisError of a server that does not reply.
        """
        with self._client() as client:
            client.config_set("maxmemory", NO_WRITES_BYTES if refuse else self._max_bytes)

    def compact(self) -> None:
        """Rewrite the append-only file in the background. Raises OSError and RedisError."""
        with self._client() as client:
            client.bgrewriteaof()

    @property
    def data(self) -> Path:
        """Folder of the server's data. Valid after `start`."""
        return self._data

    def interrupt(self) -> None:
        """End a `start` or a `restart` in progress, which raises SettingsError."""
        self._interrupted.set()

    def stop(self) -> None:
        """Shut the server down, or kill it if it does not end, and release the folder. May be repeated."""
        if self._lock is None:
            return
        self._terminate()
        self._child = None
        self._forget_socket()
        self._unlock_folder()

    def _terminate(self) -> None:
        """End the process of the server by signals, which it needs no socket for. Kill it if it does not shut down."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a stopped process
        if not poll(self._ended, min(self._timeout, _STOP_SECONDS)):
            self._signal(signal.SIGKILL)
            poll(self._ended, _REPLY_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        if self._pid and not self._ended():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def _lock_folder(self) -> None:
        lock = FileLock(self._folder / "lock")
        if not lock.acquire():
            raise SettingsError(
                f"state directory {self._folder} is in use by process {lock.holder()}, expected one `unroll serve`"
            )
        self._lock = lock

    def _unlock_folder(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _attach(self) -> bool:
        """Use the recorded socket if the server of this folder's data replies there; wait while it loads."""
        with contextlib.suppress(FileNotFoundError):
            self._socket = Path((self._folder / "socket").read_text())
            return self._await_ready(lambda: self._data_is_free() or self._interrupted.is_set()) and self._is_ours()
        return False

    def _is_ours(self) -> bool:
        """Return whether the server at the socket has this folder's data. Take it over if it does."""
        try:
            with self._client() as client:
                settings = client.config_get("dir")
                if Path(os.fsdecode(settings.get(b"dir", settings.get("dir", b"")))) != self._data:
                    return False
                client.config_set("maxmemory", self._max_bytes)
                self._pid = int(cast("dict[str, Any]", client.info("server"))["process_id"])
        except (RedisError, OSError):
            return False
        return True

    def _choose_socket(self) -> Path:
        self._forget_socket()
        path = self._folder / "store.sock"
        if len(os.fsencode(path)) > _MAX_SOCKET_BYTES:
            path = Path(tempfile.mkdtemp(prefix="unroll-")) / "store.sock"
        (self._folder / "socket").write_text(str(path))
        return path

    def _forget_socket(self) -> None:
        record = self._folder / "socket"
        with contextlib.suppress(OSError):
            recorded = Path(record.read_text())
            record.unlink()
            recorded.unlink(missing_ok=True)
            if recorded.parent != self._folder:
                recorded.parent.rmdir()

    def _claim_data(self) -> FileLock:
        """Acquire the lock that the server inherits. Until then, the socket of another server must stay."""
        lock = FileLock(self._data / "lock")
        if not poll(lambda: self._interrupted.is_set() or lock.acquire(), self._timeout) or not lock.acquire():
            raise SettingsError(
                f"a server that does not answer still uses {self._data}: process {lock.holder()} started it"
            )
        return lock

    def _launch(self, data_lock: FileLock) -> None:
        self._socket.parent.mkdir(mode=0o700, exist_ok=True)  # temporary folders get cleaned up
        try:
            with (self._folder / "store.log").open("ab") as log:
                self._child = subprocess.Popen(
                    self._command_line(),
                    cwd=self._data,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=[data_lock.fileno()],
                )
        except OSError as error:
            raise SettingsError(f"the store's server cannot be started: {error}") from error
        self._pid = self._child.pid
        data_lock.release()
        self._await_start(self._child)

    def _command_line(self) -> list[str]:
        places = {"dir": str(self._data), "unixsocket": str(self._socket)}
        settings = _SETTINGS | places | {"maxmemory": str(self._max_bytes)}
        return [str(find_server()), *(word for name, value in settings.items() for word in (f"--{name}", value))]

    def _await_start(self, child: subprocess.Popen[bytes]) -> None:
        if self._await_ready(lambda: child.poll() is not None or self._interrupted.is_set()):
            return
        outcome = "no answer in time" if child.poll() is None else f"exit status {child.returncode}"
        child.kill()
        child.wait()
        self._child = None
        lines = (self._folder / "store.log").read_text(errors="replace").splitlines()[-_LOG_LINES:]
        raise SettingsError("\n".join([f"the store's server did not start: {outcome}; the end of its log:", *lines]))

    def _ended(self) -> bool:
        return self._data_is_free() if self._child is None else self._child.poll() is not None

    def _data_is_free(self) -> bool:
        lock = FileLock(self._data / "lock")
        free = lock.acquire()
        lock.release()
        return free

    def _await_ready(self, ended: Callable[[], bool]) -> bool:
        """Return whether the server gets ready before `ended` or a timeout, which is longer while it loads its data."""
        started = time.monotonic()
        while not ended():
            state = self._ping()
            if state == "ready":
                return True
            if time.monotonic() - started > (_LOADING_SECONDS if state == "loading" else self._timeout):
                return False
            time.sleep(POLL_SECONDS)
        return False

    def _ping(self) -> Literal["ready", "loading", "silent"]:
        try:
            with self._client() as client:
                client.ping()
        except BusyLoadingError:
            return "loading"
        except (RedisError, OSError):
            return "silent"
        return "ready"

    def _client(self) -> Redis:
        return Redis(
            unix_socket_path=str(self._socket),
            socket_timeout=_REPLY_SECONDS,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
