"""Processor time of the bundled forecaster for blocks of observations, without HTTP and store.

    python -m benchmarks.series_blocks [--model models/taxi-forecast/1] [--rows 1 32 672] [--repeats 20]

It prints the median milliseconds of one request that feeds this number of rows and forecasts the whole horizon.
"""

import argparse
import math
import statistics
import time
from pathlib import Path

import torch

from service.domain.operations import Predict, SeriesInput
from service.engine.runner import run_operation
from service.tasks.architectures import load_task
from service.tasks.limits import TextLimits

START, STEP = 1_420_416_000_000_000, 1_800_000_000


def median_milliseconds(folder: Path, rows: int, repeats: int) -> float:
    """Return the median processor time of one request of `rows` rows."""
    checkpoint, task = load_task(folder, TextLimits(input_tokens=rows))
    width = len(getattr(checkpoint.config, "features", [""]))
    values = tuple((15_000 + 9_000 * math.sin(row * math.pi / 24),) * width for row in range(rows))
    operation = Predict(SeriesInput(values, timestamps=tuple(START + row * STEP for row in range(rows))))
    durations = []
    for _ in range(repeats + 3):
        started = time.process_time()
        run_operation(task, operation, task.initial_state)
        durations.append(1000 * (time.process_time() - started))
    return statistics.median(durations[3:])


def main() -> None:
    """Print a line per number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/taxi-forecast/1"))
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 32, 672])
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for rows in arguments.rows:
        print(f"{rows:>5} rows  {median_milliseconds(arguments.model, rows, arguments.repeats):8.2f} ms")


if __name__ == "__main__":
    main()
