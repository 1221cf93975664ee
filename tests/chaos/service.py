"""The service under attack: the real supervisor, workers with points of attack, the store behind the proxy."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.control import Control
from tests.chaos.http1 import Connections
from tests.served import ROOT, clean_environment, free_port
from tests.server import children, command_line

_START_SECONDS = 240.0
_STOP_SECONDS = 40.0
#: Room for the wait of a second that everysec makes of WAITAOF; the default is 1.5.
STORE_TIMEOUT = 2.0


@dataclass(slots=True, eq=False)
class Service:
    """Starts, finds and stops the processes of the service."""

    folder: Path
    models: Path
    store: Path
    workers: int = 2
    broken: str = ""
    api_keys: str = ""
    port: int = field(default_factory=free_port)
    grpc_port: int = field(default_factory=free_port)
    control_folder: Path | None = None
    #: Further settings, by the names of their environment variables.
    settings: dict[str, str] = field(default_factory=dict)
    control: Control = field(init=False)
    _process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.control = Control(self.control_folder or self.folder / "control")

    @property
    def log(self) -> Path:
        return self.folder / "serve.log"

    async def start(self) -> None:
        """Start it; returns when all workers are up."""
        self.control.folder.mkdir(exist_ok=True)
        environment = {"UNROLL_GRACE_SECONDS": "3"} | clean_environment(
            UNROLL_PORT=str(self.port),
            UNROLL_GRPC_PORT=str(self.grpc_port),
            UNROLL_WORKERS=str(self.workers),
            UNROLL_MODELS=str(self.models),
            UNROLL_LOG_FORMAT="json",
            UNROLL_LOG_LEVEL="warning",
            UNROLL_STORE_TIMEOUT_SECONDS=str(STORE_TIMEOUT),
            UNROLL_API_KEYS=self.api_keys,
            REDIS_URL=f"unix://{self.store}",
            CHAOS_CONTROL=str(self.control.folder),
            CHAOS_BROKEN=self.broken,
            **self.settings,
            PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        )
        self._launch([sys.executable, "-m", "tests.chaos.serve"], environment)
        assert await self.ready(_START_SECONDS), f"the service does not start: see {self.log}"

    def _launch(self, command: list[str], environment: dict[str, str]) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    async def ready(self, seconds: float) -> bool:
        """Wait until every worker that there should be answers; False when that takes too long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, f"the service ended: see {self.log}"
            if len(self.pids()) >= self.workers and await self._answers():
                return True
            await asyncio.sleep(0.1)
        return False

    async def _answers(self) -> bool:
        """Whether every worker has bound its handlers: a worker that is still loading accepts nothing."""
        connections = Connections(self.port)
        reply = await connections.send("GET", "/health/ready", seconds=2)
        connections.close()
        return reply.status == 200 and all(self.is_up(pid) for pid in self.pids())

    def is_up(self, pid: int) -> bool:
        """Whether a worker serves: from then on it catches SIGTERM."""
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return False
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)

    def pids(self) -> list[int]:
        """The workers that live, in the order of their start."""
        assert self._process is not None
        return sorted(pid for pid in children(self._process.pid) if b"tests.chaos.worker" in command_line(pid))

    def stop(self) -> None:
        """Stop it as an operator does; kill what does not stop."""
        if self._process is None:
            return
        pids = self.pids()
        for pid in pids:
            signal_to(pid, signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            for pid in pids:
                signal_to(pid, signal.SIGKILL)
        self._process = None

    def read_log(self) -> str:
        """What all processes have logged."""
        return self.log.read_text("utf-8", "replace")

    def complaints(self) -> list[str]:
        """What the log has at the level of errors, but for workers that died, which is what they were told to do."""
        found = []
        for line in self.read_log().splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                found.append(line)
                continue
            if event.get("level") in {"error", "critical"} and event.get("event") != "worker died":
                found.append(line)
        return found


def signal_to(pid: int, number: signal.Signals) -> bool:
    """Send a signal to one process by its id; False where there is none."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
