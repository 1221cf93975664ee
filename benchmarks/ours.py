"""This service under measurement: `unroll serve` with its embedded store in a temporary folder."""

import http.client
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import processes
from benchmarks.generator import Session
from benchmarks.ref_lm import NAME


@dataclass(frozen=True)
class RunningService:
    """A running service: its port, and the process id of its supervisor."""

    port: int
    process: int


@contextmanager
def service(
    workers: int = 1,
    models: Path = Path("models"),
    *options: str,
    grpc_port: int | None = None,
    settings: Mapping[str, object] | None = None,
) -> Iterator[RunningService]:
    """Run the service, with further options of `unroll serve` and settings, until the block ends. Raises NotStarted."""
    port = processes.free_port()
    with tempfile.TemporaryDirectory() as state:
        usual = {"port": port, "workers": workers, "models": models, "state_dir": state}
        usual |= {"log_format": "json", "drain_seconds": 0}
        if grpc_port is not None:
            usual["grpc_port"] = grpc_port
        environment = {f"UNROLL_{name.upper()}": str(value) for name, value in (usual | dict(settings or {})).items()}

        def ready(log: str) -> bool:
            return len(re.findall(r'"event": "worker ready"', log)) == workers

        command = [sys.executable, "-m", "service.cli", "serve", *options]
        with processes.running(command, ready, environment) as process:
            yield RunningService(port, process.pid)


def open_sessions(port: int, count: int, model: str = NAME, key: str | None = None) -> list[Session]:
    """Create sessions whose steps carry `step`, as a careful client sends it: a repetition is not applied.

    `key` is the API key, if the service wants one.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body, headers = json.dumps({"model": model}), {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    sessions = []
    for _ in range(count):
        connection.request("POST", "/v1/sessions", body, headers)
        created = json.loads(connection.getresponse().read())
        step = '{"input": {"ids": [%d]}, "options": {"top_k": 5}, "step": %d}'
        sessions.append(Session(f"/v1/sessions/{created['id']}/steps", step))
    connection.close()
    return sessions
