"""The load generator: wrk with the script steps.lua, which sends consecutive steps over persistent connections."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SCRIPT = Path(__file__).with_name("steps.lua")
HELP = "wrk, the load generator, is not on the PATH: apt-get install wrk, brew install wrk, or github.com/wg/wrk"
#: A session stays on its connection, or each of its steps is sent over another one.
ConnectionUse = Literal["stay", "move"]
#: Sessions per connection if they move: enough that none is in flight when its next step is due.
SESSIONS_PER_CONNECTION = 16
TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Session:
    """The path and body of a session's steps, with `%d` for the word's id and optionally for the step's number."""

    path: str
    body: str


@dataclass(frozen=True)
class Load:
    """The results of one run: answered steps per second, latencies in milliseconds, and failed requests."""

    rate: float
    p50: float
    p99: float
    errors: int


class GeneratorFailed(Exception):
    """Raised if the generator is missing, or did not report its results."""


def require_wrk() -> None:
    """Raise GeneratorFailed if wrk is not installed."""
    if shutil.which("wrk") is None:
        raise GeneratorFailed(HELP)


def sessions_for(connections: int, connection_use: ConnectionUse) -> int:
    """Return the number of sessions that a run needs."""
    return connections if connection_use == "stay" else SESSIONS_PER_CONNECTION * connections


def run(
    port: int,
    sessions: Sequence[Session],
    connections: int,
    connection_use: ConnectionUse,
    seconds: float,
    *,
    headers: Sequence[str] = (),
) -> Load:
    """Send steps of new sessions over this number of connections for `seconds`. Raises GeneratorFailed."""
    threads = connections if connection_use == "stay" else 1
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        file.writelines(f"{session.path}\t{session.body}\n" for session in sessions)
        file.flush()
        command = ["wrk", "-t", str(threads), "-c", str(connections), "-d", f"{round(seconds)}s"]
        command += [word for header in headers for word in ("-H", header)]
        command += ["--timeout", f"{TIMEOUT_SECONDS}s", "-s", str(SCRIPT), f"http://127.0.0.1:{port}"]
        limit = seconds + TIMEOUT_SECONDS + 30
        process = subprocess.run(
            [*command, file.name, str(threads)], capture_output=True, text=True, timeout=limit, check=False
        )
    return parse(process.stdout, process.stderr)


def parse(output: str, stderr: str = "") -> Load:
    """Read the line that steps.lua writes at the end of wrk's own report. Raises GeneratorFailed."""
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if not lines:
        raise GeneratorFailed(f"wrk told nothing: {stderr.strip() or output.strip() or 'no output'}")
    results = json.loads(lines[-1])
    broken = sum(results[kind] for kind in ("connect", "read", "write", "timeout"))
    answered = results["requests"] - results["status"]
    return Load(
        rate=answered / (results["microseconds"] / 1e6),
        p50=results["p50"] / 1000,
        p99=results["p99"] / 1000,
        errors=results["status"] + broken,
    )
