"""The real service in processes of its own, as a user starts it, on a free port and a state directory of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis
from redis.exceptions import RedisError

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 120.0
STOP_SECONDS = 60.0


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def clean_environment(**given: str) -> dict[str, str]:
    """This process's environment without the service's settings, and what is given instead."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UNROLL_") and name != "REDIS_URL"}
    return kept | given


@dataclass
class ServedProcess:
    """`unroll serve` on the bundled models; its log is in `folder`, its state below it.

    gRPC is served if it is given a port, too.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    grpc_port: int | None = None
    _process: "subprocess.Popen[bytes] | None" = None
    _workers: int = 1

    @property
    def address(self) -> str:
        """Its host and port."""
        return f"localhost:{self.port}"

    @property
    def grpc_address(self) -> str:
        """Its host and the port of gRPC."""
        return f"localhost:{self.grpc_port}"

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return (self.folder / "serve.log").read_text("utf-8", "replace")

    def environment(self) -> dict[str, str]:
        """The settings that it, and commands beside it, run with."""
        grpc = {} if self.grpc_port is None else {"UNROLL_GRPC_PORT": str(self.grpc_port)}
        return clean_environment(UNROLL_PORT=str(self.port), UNROLL_STATE_DIR=str(self.folder / "state"), **grpc)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()

    def start(self, workers: int = 1) -> None:
        """Start it unless it runs; returns when it is ready."""
        if self._process is not None:
            return
        self._workers = workers
        with (self.folder / "serve.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "serve"],
                cwd=ROOT,
                env=self.environment() | {"UNROLL_WORKERS": str(workers)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        assert _poll(lambda: self._ended() or self._ready(), START_SECONDS), f"not ready in time:\n{self.log}"
        assert not self._ended(), f"ended at its start:\n{self.log}"

    def kill(self) -> None:
        """End it as a crash would, with no chance to tidy up; returns when its workers gave the port back."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        assert _poll(lambda: not self._listens(), STOP_SECONDS), f"its workers outlived it:\n{self.log}"

    def restart(self) -> None:
        """Kill it and start it again on what it left behind."""
        self.kill()
        self.start(self._workers)

    def stop(self) -> int | None:
        """Stop it as an operator does; its exit status. Also ends the store of a server that was killed."""
        status = None
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                status = self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        recorded = self.folder / "state" / "socket"
        if recorded.exists():
            with contextlib.suppress(RedisError), Redis(unix_socket_path=recorded.read_text()) as store:
                store.shutdown(nosave=True)
        return status

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _poll(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition comes true within so many seconds."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.05)
    return True
