"""Mean squared error of a small forecaster on ETTh1, beside the repeat of the last day.

    python -m benchmarks.forecast path/to/ETTh1.csv [--horizons 24 48] [--seed 1]

ETTh1 (H. Zhou et al., "Informer", 2021; CC BY-ND 4.0, nothing made from it is shipped): seven series of a transformer,
hourly. Split, units and measure are that paper's: twelve, four and four months of 30 days; standardised by the training
part; the error over all windows of the test part, all steps and all seven features. One network per horizon, with the
trainer of `models/recipes/forecast_training.py`, which carries the state through the whole series as the service does.

The levels of the series drift: two years later some have values that never occurred before. The network therefore
corrects the repeat of the last day. It is also trained on copies of the series at other levels and amplitudes, so that
it learns to correct in the same way at any level. (T. Kim et al., "Reversible instance normalization", 2022, build that
into the network.)
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import torch

from models.recipes import forecast_scores as scores
from models.recipes.forecast_export import Scaling
from models.recipes.forecast_network import Architecture, Layer
from models.recipes.forecast_series import Series, Split, forecasts
from models.recipes.forecast_training import Schedule, train

DAY, MONTH = 24, 30 * 24
COPIES, LEVEL, AMPLITUDE = 60, 0.7, 0.3
SPLIT = Split(valid=12 * MONTH, test=16 * MONTH, end=20 * MONTH)


def read_series(path: Path) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Return the names, the values (rows, features) and the stamps (rows,) of the file."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    stamps = np.array([row[0] for row in rows], "datetime64[us]")
    return tuple(header[1:]), np.array([row[1:] for row in rows], float), stamps


def architecture(names: tuple[str, ...], horizon: int) -> Architecture:
    """Return a small network that corrects the repeat of the last day."""
    return Architecture(
        features=names,
        target=names,
        frequency="1h",
        horizon=horizon,
        hidden_size=48,
        calendar=("hour_of_day",),
        season=DAY,
        output_residual=True,
        context=Layer(16, "none"),
        local=Layer(96, "gelu"),
    )


def schedule(seed: int) -> Schedule:
    return Schedule(
        updates=700, rate=1e-2, dropout=0.2, weight_decay=0.05, streams=16, validate_every=20, patience=20, seed=seed
    )


def shifted_copies(scaled: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return scaled (rows, features) and copies at other levels and amplitudes: (1 + count, rows, features)."""
    generator = np.random.default_rng(seed)
    shape = (count, 1, scaled.shape[1])
    factors, shifts = np.exp(AMPLITUDE * generator.normal(size=shape)), LEVEL * generator.normal(size=shape)
    return np.concatenate([scaled[None], scaled * factors + shifts])


def evaluate(series: Series, seed: int) -> tuple[float, float]:
    """Train a network. Return its mean squared error over the test windows, and that of the repeat of the last day."""
    model, _ = train(series.architecture, series, SPLIT, schedule(seed))
    rows = scores.test_origins(SPLIT, series.architecture.horizon)
    actual = scores.actual_targets(series, rows)
    forecast = forecasts(model, series, int(rows[0]), int(rows[-1]) + 1)[..., 0]
    return float((forecast - actual).square().mean()), float(
        (scores.seasonal_naive(series, rows, DAY) - actual).square().mean()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="ETTh1.csv")
    parser.add_argument("--horizons", type=int, nargs="+", default=[24, 48])
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # sums in one order: the same seed gives the same network
    names, values, stamps = read_series(arguments.path)
    scaled = shifted_copies(Scaling.of(values[: SPLIT.valid]).scaled(values), COPIES, arguments.seed)
    errors = {
        horizon: evaluate(Series(architecture(names, horizon), scaled, stamps), arguments.seed)
        for horizon in arguments.horizons
    }
    print("horizon   forecaster MSE   24-hour repeat MSE")
    for horizon, (forecast, repeat) in errors.items():
        print(f"{horizon:7}   {forecast:14.4f}   {repeat:18.4f}")


if __name__ == "__main__":
    main()
