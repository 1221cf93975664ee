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
#: A session stays on its connection, or each of its steps goes out over another one.
Manner = Literal["stay", "move"]
#: Sessions for each connection where they move: so many that none is in flight when its turn comes.
SPARE = 16
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
    """The generator is missing, or it did not tell what it saw."""


def require() -> None:
    """Raise GeneratorFailed where there is no wrk."""
    if shutil.which("wrk") is None:
        raise GeneratorFailed(HELP)


def sessions_for(connections: int, manner: Manner) -> int:
    """Return how many sessions a run needs."""
    return connections if manner == "stay" else SPARE * connections


def run(port: int, sessions: Sequence[Session], connections: int, manner: Manner, seconds: float) -> Load:
    """Step fresh sessions over so many connections for so many seconds. Raises GeneratorFailed."""
    threads = connections if manner == "stay" else 1
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        file.writelines(f"{session.path}\t{session.body}\n" for session in sessions)
        file.flush()
        command = ["wrk", "-t", str(threads), "-c", str(connections), "-d", f"{round(seconds)}s"]
        command += ["--timeout", f"{TIMEOUT_SECONDS}s", "-s", str(SCRIPT), f"http://127.0.0.1:{port}"]
        limit = seconds + TIMEOUT_SECONDS + 30
        done = subprocess.run(
            [*command, file.name, str(threads)], capture_output=True, text=True, timeout=limit, check=False
        )
    return parse(done.stdout, done.stderr)


def parse(output: str, complaints: str = "") -> Load:
    """Read the line that steps.lua writes at the end of wrk's own report. Raises GeneratorFailed."""
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if not lines:
        raise GeneratorFailed(f"wrk told nothing: {complaints.strip() or output.strip() or 'no output'}")
    told = json.loads(lines[-1])
    broken = sum(told[kind] for kind in ("connect", "read", "write", "timeout"))
    answered = told["requests"] - told["status"]
    return Load(
        rate=answered / (told["microseconds"] / 1e6),
        p50=told["p50"] / 1000,
        p99=told["p99"] / 1000,
        errors=told["status"] + broken,
    )
