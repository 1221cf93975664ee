"""Steps of 64 sessions over WebSockets against the same steps by requests.

    python -m benchmarks.websocket_steps [--quick] [--json FILE]

One worker with its store serves REF-LM. Requests over 64 connections, 64 WebSockets of one session each, and one
WebSocket for all sessions take turns, each session with one step under way. The load generators share the second core
with the store.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import generator, ours
from benchmarks.program import run_program

SESSIONS = 64
WARM_UP_SECONDS = 2.0


def measure_requests(port: int, seconds: float) -> float:
    """Return the steps per second by requests. Raises RuntimeError if one failed."""
    load = generator.run(port, ours.open_sessions(port, SESSIONS), SESSIONS, "stay", seconds)
    if load.errors:
        raise RuntimeError(f"{load.errors} requests failed")
    return load.rate


def measure_websockets(port: int, seconds: float, connections: int) -> float:
    """Return the steps per second over so many WebSockets. Raises RuntimeError if one failed."""
    names = [session.path.split("/")[3] for session in ours.open_sessions(port, SESSIONS)]
    command = [sys.executable, "-m", "benchmarks.websocket_load", str(port), str(seconds), str(connections), *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-600:])
    results = json.loads(done.stdout)
    if results["errors"]:
        raise RuntimeError(f"{results['errors']} frames failed")
    return float(results["rate"])


def measure(model: Path, rounds: int, seconds: float) -> dict[str, float]:
    """Measure in turns. Return the medians of the rates, and of their ratios in each round."""
    with ours.service(1, model.parent.parent) as running:
        kinds: dict[str, Callable[[float], float]] = {
            "requests": lambda seconds: measure_requests(running.port, seconds),
            "websockets": lambda seconds: measure_websockets(running.port, seconds, SESSIONS),
            "one_websocket": lambda seconds: measure_websockets(running.port, seconds, 1),
        }
        for run in kinds.values():
            run(WARM_UP_SECONDS)
        results = [{name: run(seconds) for name, run in kinds.items()} for _ in range(rounds)]
    figures = {f"{name}_steps_per_second": statistics.median(row[name] for row in results) for name in kinds}
    for name in ("websockets", "one_websocket"):
        figures[f"{name}_of_requests"] = statistics.median(row[name] / row["requests"] for row in results)
    return figures


def main() -> None:
    run_program(__doc__, lambda model, quick: measure(model, *((1, 2.0) if quick else (5, 5.0))))


if __name__ == "__main__":
    main()
