"""Steps of 64 sessions of each task over HTTP: steps per second and latencies.

    python -m benchmarks.task_steps [--quick] [--json FILE]

One worker with its store serves a model of each task, of the sizes that benchmarks/task_models.py states, and REF-LM.
A step feeds one word, or one row of numbers, and carries `step`. The load generator sends the steps of one task at a
time, the tasks in turns, and shares the second core with the store.
"""

import http.client
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import generator, ours, ref_lm
from benchmarks.generator import Load, Session
from benchmarks.program import run_program
from benchmarks.task_models import FEATURES, write_models
from benchmarks.tensor_steps import WIDTH

SESSIONS = 64
WARM_UP_SECONDS = 1.0
_SOURCE = " ".join(f"word{number}" for number in range(11, 21))
_WORD = '{"ids": [%d]}'


def _row(width: int) -> str:
    """Return a row of numbers, the first of which is that of the word."""
    return f"[%d{', 0.5' * (width - 1)}]"


#: Of each model what its sessions are created with, and the input of a step.
INPUTS: dict[str, tuple[Mapping[str, Any], str]] = {
    ref_lm.NAME: ({}, _WORD),
    "classification": ({}, _WORD),
    "tagging": ({}, _WORD),
    "regression": ({}, f'{{"values": [{_row(len(FEATURES))}]}}'),
    "embedding": ({}, _WORD),
    "tensor": ({}, f'{{"tensors": {{"frame": {_row(WIDTH)}}}}}'),
    "forecasting": ({}, f'{{"values": [{_row(len(FEATURES))}]}}'),
    "translation": ({"input": {"text": _SOURCE}}, '{"text": "word%d"}'),
}


def open_sessions(port: int, model: str) -> list[Session]:
    """Create the sessions of a run, whose steps carry `step`."""
    fields, step = INPUTS[model]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body, headers = json.dumps({"model": model, **fields}), {"Content-Type": "application/json"}
    sessions = []
    for _ in range(SESSIONS):
        connection.request("POST", "/v1/sessions", body, headers)
        created = json.loads(connection.getresponse().read())
        sessions.append(Session(f"/v1/sessions/{created['id']}/steps", f'{{"input": {step}, "step": %d}}'))
    connection.close()
    return sessions


def run(port: int, model: str, seconds: float) -> Load:
    """Return the load of new sessions. Raises RuntimeError if a step failed."""
    load = generator.run(port, open_sessions(port, model), SESSIONS, "stay", seconds)
    if load.errors:
        raise RuntimeError(f"{load.errors} steps of {model} failed")
    return load


def measure(model: Path, rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """Measure in turns. Return for each model the medians of its rates and latencies."""
    models = model.parent.parent
    write_models(models)
    loads: dict[str, list[Load]] = {name: [] for name in INPUTS}
    with ours.service(1, models) as running:
        for name in INPUTS:
            run(running.port, name, WARM_UP_SECONDS)
        for _ in range(rounds):
            for name, own in loads.items():
                own.append(run(running.port, name, seconds))
    return {
        name: {
            "steps_per_second": statistics.median(load.rate for load in own),
            "p50_ms": statistics.median(load.p50 for load in own),
            "p99_ms": statistics.median(load.p99 for load in own),
        }
        for name, own in loads.items()
    }


def main() -> None:
    run_program(__doc__, lambda model, quick: measure(model, *((1, 2.0) if quick else (3, 5.0))))


if __name__ == "__main__":
    main()
