"""A service of one worker with an embedded store in a temporary folder, on which a model is measured."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from service import settings as configuration
from service.domain.errors import SettingsError
from service.settings import Settings

START_SECONDS = 120.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.1
LOG_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class TrialServer:
    """Running service: its port, the process of its worker, and a connection to its store."""

    port: int
    worker: int
    store: Redis

    def worker_seconds(self) -> float:
        """Return the processor time that the worker has used."""
        fields = Path(f"/proc/{self.worker}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def store_seconds(self) -> float:
        """Return the processor time that the store has used."""
        cpu = self.store.info("cpu")
        return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])

    def store_bytes(self) -> int:
        """Return the memory that the store uses, without buffers, which grow and shrink with its load."""
        memory = self.store.info("memory")
        return int(memory["used_memory"] - memory["mem_not_counted_for_evict"] - memory["mem_clients_normal"])

    def log_bytes(self) -> int:
        """Return the size of the append-only file."""
        return int(self.store.info("persistence")["aof_current_size"])


@contextmanager
def trial_server(folder: Path) -> Iterator[TrialServer]:
    """Serve the model folder MODELS/NAME/VERSION alone until the block ends. Raises SettingsError if that fails."""
    with tempfile.TemporaryDirectory(prefix="unroll-size-") as temporary:
        place = Path(temporary)
        model = place / "models" / folder.parent.name
        model.mkdir(parents=True)
        (model / folder.name).symlink_to(folder.resolve(), target_is_directory=True)
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "serve"],
                env=configuration.environment_of(_settings(place)),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            port, worker = _await_worker(process, place / "log")
            with Redis(unix_socket_path=(place / "state" / "socket").read_text(), protocol=2) as store:
                yield TrialServer(port, worker, store)
        finally:
            _stop(process)


def _settings(place: Path) -> Settings:
    """Return the settings of the service, whatever those of this process are."""
    return Settings.model_construct(
        models=place / "models", state_dir=place / "state", port=0, log_format="json", drain_seconds=0
    )


def _await_worker(process: subprocess.Popen[bytes], log: Path) -> tuple[int, int]:
    """Return the port of the service and the process id of its worker, once that is ready."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        lines = log.read_text(errors="replace").splitlines()
        events = {
            event["event"]: event
            for event in map(json.loads, (line for line in lines if line.startswith("{") and line.endswith("}")))
        }
        if "worker ready" in events:
            return int(events["starting"]["url"].rpartition(":")[2]), int(events["worker ready"]["process"])
        if process.poll() is not None or time.monotonic() > deadline:
            end = "\n".join(lines)[-LOG_CHARACTERS:]
            raise SettingsError(f"the service did not start: expected a worker to be ready; the end of its log:\n{end}")
        time.sleep(POLL_SECONDS)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
