"""The taxi passengers of New York: the series, its parts, its labelled anomalies, and augmented copies for training."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.recipes.forecast_series import Split

DAY, WEEK = 48, 7 * 48
VALID_DAYS = 28


@dataclass(frozen=True)
class Taxi:
    """Passengers (rows, 1) of every half hour, their time stamps (rows,), and anomaly windows (first row, last row)."""

    values: np.ndarray
    stamps: np.ndarray
    windows: list[tuple[int, int]]

    @property
    def split(self) -> Split:
        return split(len(self.values))


def split(rows: int) -> Split:
    """Return the split: the last fifth for the test, and the four weeks before it for validation."""
    test = rows * 4 // 5
    return Split(test - VALID_DAYS * DAY, test, rows)


def read_taxi(folder: Path) -> Taxi:
    """Read nyc_taxi.csv and combined_windows.json, anywhere below `folder`. The stamps are New York's wall clock."""
    table = next(iter(folder.rglob("nyc_taxi.csv")), folder / "nyc_taxi.csv")
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    stamps = np.array([row["timestamp"] for row in rows], "datetime64[us]")
    labels = json.loads((table.parent / "combined_windows.json").read_text())["realKnownCause/nyc_taxi.csv"]
    windows = [tuple(_row(stamps, edge) for edge in window) for window in labels]
    return Taxi(
        np.array([[float(row["value"])] for row in rows]), stamps, [(window[0], window[1]) for window in windows]
    )


def _row(stamps: np.ndarray, stamp: str) -> int:
    return int((np.datetime64(stamp) - stamps[0]) / (stamps[1] - stamps[0]))


def changed_copies(values: np.ndarray, count: int, per_day: float, size: float, seed: int) -> np.ndarray:
    """Return the series and augmented copies with synthetic events: (1 + count, rows, 1).

    Five months have few holidays, so that a network without augmentation treats every Monday alike. Half of the events
    multiply a quarter of a day to three days by a bump, more often downwards: exp of a normal number with deviation
    `size`. The others replace days by one or two days of the same week, because a holiday resembles a Sunday.
    """
    generator = np.random.default_rng(seed)
    copies = [values]
    for _ in range(count):
        copy = values.copy()
        for _ in range(generator.poisson(per_day * len(values) / DAY)):
            event = _bump if generator.random() < 0.5 else _exchange
            copy = event(copy, size, generator)
        copies.append(copy)
    return np.stack(copies)


def _bump(values: np.ndarray, size: float, generator: np.random.Generator) -> np.ndarray:
    length = int(DAY * generator.uniform(0.25, 3))
    first = generator.integers(0, len(values) - length)
    bump = np.zeros(len(values))
    bump[first : first + length] = np.sqrt(np.sin(np.pi * (np.arange(length) + 0.5) / length))
    return values * np.exp(generator.normal(-size / 3, size) * bump)[:, None]


def _exchange(values: np.ndarray, size: float, generator: np.random.Generator) -> np.ndarray:  # noqa: ARG001
    days = len(values) // DAY
    length, shift = generator.integers(1, 3), generator.choice([-3, -2, -1, 1, 2, 3])
    first = generator.integers(3, days - 5)
    changed = values.copy()
    changed[first * DAY : (first + length) * DAY] = values[(first + shift) * DAY : (first + shift + length) * DAY]
    return changed
