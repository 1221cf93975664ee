"""The further benchmarks of `make bench` beside session steps; each is a program that writes its figures as JSON."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

LIMIT_SECONDS = 900
#: A state of two LSTM layers of 64, as REF-LM stores its own.
SMALL_STATE = str(4 * (2 * 2 * 64 + 1))
_MANY = ["--steps-only", "--state-bytes", SMALL_STATE]
#: The arguments of each program, for the full and the quick run.
PARTS: dict[str, tuple[list[str], list[str]]] = {
    "bulk_steps": ([], ["--quick"]),
    "tensor_steps": ([], ["--quick"]),
    "task_steps": ([], ["--quick"]),
    "forward": ([], ["--batches", "1", "16", "64", "--rounds", "3"]),
    "generations": ([], ["--quick"]),
    "beams_and_paths": ([], ["--repeats", "5"]),
    "overload": ([], ["--quick"]),
    "websocket_steps": ([], ["--quick"]),
    "many_sessions": (_MANY, [*_MANY, "--sessions", "50000"]),
}


def measure(names: list[str], quick: bool, print_progress: Callable[[str], None]) -> dict[str, Any]:
    """Run the programs one after the other. The figures of a program that fails are the reason, as `failure`."""
    figures: dict[str, Any] = {}
    for name in names:
        print_progress(f"{name} ...")
        figures[name] = _run(name, PARTS[name][quick])
        print_progress(f"{name}: {json.dumps(figures[name])}")
    return figures


def _run(name: str, arguments: list[str]) -> dict[str, Any]:
    if find_spec(f"benchmarks.{name}") is None:
        return {"failure": f"there is no benchmarks.{name}"}
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments, "--json", file.name]
        # One thread, as a worker has; read when torch is imported.
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return {"failure": f"not done after {LIMIT_SECONDS} s"}
        if done.returncode:
            return {"failure": done.stderr.strip()[-600:]}
        figures: dict[str, Any] = json.loads(Path(file.name).read_text("utf-8"))
        return figures
