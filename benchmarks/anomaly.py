"""NAB's score of streaming anomaly scores on two series, beside the detector "Windowed Gaussian".

    python -m benchmarks.anomaly path/to/nab [--seeds 3]

The folder holds nyc_taxi.csv, machine_temperature_system_failure.csv and combined_windows.json of the Numenta Anomaly
Benchmark. For each series a small forecaster of the next row is trained on the part that the benchmark leaves to
learning, at most 750 rows, and exported to a model folder. Then the whole series is streamed through a session of the
forecasting task, and the `anomaly_scores` of its answers are scored; so are their likelihoods by the filter that the
benchmark's own detectors apply to theirs (`models/recipes/anomaly_detectors.py`).
"""

import argparse
import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
import torch

from models.recipes.anomaly_detectors import anomaly_likelihood, windowed_gaussian
from models.recipes.forecast_export import Scaling, export
from models.recipes.forecast_network import Architecture
from models.recipes.forecast_series import Series, Split
from models.recipes.forecast_training import Schedule, train
from models.recipes.nab_score import LabelledScores, nab_score, probation_rows
from service.domain.operations import Predict, PredictOptions, SeriesInput
from service.engine.runner import run_operation
from service.tasks.architectures import load_task
from service.tasks.limits import TextLimits

#: Rows of a step of the session.
CHUNK = 64
TAXI = Architecture(
    features=("value",),
    target=("value",),
    frequency="30min",
    horizon=1,
    hidden_size=32,
    calendar=("hour_of_day",),
    distribution="student_t",
    output_residual=True,
)
MACHINE = replace(TAXI, frequency="5min", calendar=())
SCHEDULE = Schedule(updates=400, rate=5e-3, weight_decay=0.01, streams=16, piece=48, positions=24, patience=16)
SERIES = {"nyc_taxi": TAXI, "machine_temperature_system_failure": MACHINE}


@dataclass(frozen=True)
class LabelledSeries:
    """Values (rows, 1) of a series, its evenly spaced time stamps (rows,), and its windows (first row, last row)."""

    values: np.ndarray
    stamps: np.ndarray
    windows: list[tuple[int, int]]


def read_series(folder: Path, name: str) -> LabelledSeries:
    """Read a series and its windows. Its clock is made even, as one of the two was set back by an hour meanwhile."""
    with (folder / f"{name}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    stamps = np.array([row["timestamp"] for row in rows], "datetime64[us]")
    edges = json.loads((folder / "combined_windows.json").read_text())[f"realKnownCause/{name}.csv"]
    windows = [tuple(int(np.flatnonzero(stamps == np.datetime64(edge))[0]) for edge in window) for window in edges]
    even = stamps[0] + (stamps[1] - stamps[0]) * np.arange(len(stamps))
    values = np.array([[float(row["value"])] for row in rows])
    return LabelledSeries(values, even, [(window[0], window[1]) for window in windows])


def train_folder(architecture: Architecture, series: LabelledSeries, schedule: Schedule, out: Path) -> None:
    """Train a forecaster of the next row on the learning part of a series, and write its model folder."""
    rows = probation_rows(len(series.values))
    split = Split(rows * 4 // 5, rows, rows)
    scaling = Scaling.of(series.values[:rows])
    scaled = scaling.scaled(series.values[:rows])[None]
    model, _ = train(architecture, Series(architecture, scaled, series.stamps[:rows]), split, schedule)
    export(model, scaling, 0.0, out)


def stream(folder: Path, series: LabelledSeries) -> np.ndarray:
    """Return the anomaly scores (rows,) of a series in one session of the model in a folder; that of no answer is 0."""
    _, task = load_task(folder, TextLimits())
    state, scores = task.initial_state, list[float]()
    for operation in _steps(series):
        outcome = run_operation(task, operation, state)
        state = task.state_codec.from_bytes(outcome.state)
        observed = cast("dict[str, list[float | None]]", outcome.output["observed"])
        scores += [score or 0.0 for score in observed["anomaly_scores"]]
    return np.array(scores)


def _steps(series: LabelledSeries) -> Iterator[Predict]:
    times = series.stamps.astype("datetime64[us]").astype(int).tolist()
    for begin in range(0, len(times), CHUNK):
        rows = tuple((value,) for value in series.values[begin : begin + CHUNK, 0].tolist())
        yield Predict(SeriesInput(rows, True, tuple(times[begin : begin + CHUNK])), PredictOptions(horizon=1))


def detections(folder: Path, seed: int) -> dict[str, list[LabelledScores]]:
    """Return the scores of each detector on all series; `seed` is that of the training."""
    detectors: dict[str, list[LabelledScores]] = {}
    for name, architecture in SERIES.items():
        series = read_series(folder, name)
        with TemporaryDirectory() as models:
            train_folder(architecture, series, replace(SCHEDULE, seed=seed), Path(models))
            scores = stream(Path(models), series)
        likelihood = anomaly_likelihood(scores, probation_rows(len(scores)))
        for detector, result in {
            "anomaly scores of the service": scores,
            "their likelihood": likelihood,
            "Windowed Gaussian": windowed_gaussian(series.values[:, 0]),
        }.items():
            detectors.setdefault(detector, []).append(LabelledScores(result, series.windows))
    return detectors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder of the series and their windows")
    parser.add_argument("--seeds", type=int, default=3, help="the number of trainings, of which the mean is printed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # sums in one order: the same seed gives the same network
    scores: dict[str, list[float]] = {}
    for seed in range(1, arguments.seeds + 1):
        for detector, results in detections(arguments.folder, seed).items():
            scores.setdefault(detector, []).append(nab_score(results)[0])
    print(f"{'NAB score, standard profile':30}   mean of {arguments.seeds}   lowest   highest")
    for detector, values in scores.items():
        print(f"{detector:30}   {np.mean(values):9.1f}   {min(values):6.1f}   {max(values):7.1f}")


if __name__ == "__main__":
    main()
