"""Processor time of the bundled forecaster for blocks of observations, without HTTP and store.

    python -m benchmarks.series_blocks [--model models/taxi-forecast/1] [--rows 1 32 672] [--repeats 20]

Prints the median milliseconds of one request that feeds so many rows and forecasts the whole horizon.
"""

import argparse
import math
import statistics
import time
from pathlib import Path

import torch

from service.domain.operations import Predict, SeriesInput
from service.engine.runner import run_operation
from service.tasks.limits import TextLimits
from service.tasks.registry import load_task

START, STEP = 1_420_416_000_000_000, 1_800_000_000


def milliseconds(folder: Path, rows: int, repeats: int) -> float:
    """Return the median processor time of one request of `rows` rows."""
    checkpoint, task = load_task(folder, TextLimits(input_tokens=rows))
    width = len(getattr(checkpoint.config, "features", [""]))
    values = tuple((15_000 + 9_000 * math.sin(at * math.pi / 24),) * width for at in range(rows))
    asked = Predict(SeriesInput(values, timestamps=tuple(START + at * STEP for at in range(rows))))
    found = []
    for _ in range(repeats + 3):
        started = time.process_time()
        run_operation(task, asked, task.initial_state)
        found.append(1000 * (time.process_time() - started))
    return statistics.median(found[3:])


def main() -> None:
    """Print a line per number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/taxi-forecast/1"))
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 32, 672])
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for rows in arguments.rows:
        print(f"{rows:>5} rows  {milliseconds(arguments.model, rows, arguments.repeats):8.2f} ms")


if __name__ == "__main__":
    main()
