"""Train the bundled forecasting model: taxi passengers of New York for each half hour of the next two days.

    python -m models.recipes.taxi_forecast train    --data DIR --out models/taxi-forecast/1
    python -m models.recipes.taxi_forecast evaluate --data DIR --out models/taxi-forecast/1

DIR holds `nyc_taxi.csv` and `combined_windows.json` of the Numenta Anomaly Benchmark, in one folder anywhere below it.
`train` writes the model folder and its card; `evaluate` prints the figures of the card.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from models.recipes.forecast_calibration import estimate_path_correlation, spread_factor, widen
from models.recipes.forecast_export import Scaling, export, write_golden
from models.recipes.forecast_network import Architecture, Layer
from models.recipes.forecast_series import Series
from models.recipes.forecast_training import Schedule, train
from models.recipes.taxi_forecast_card import evaluate_folder, plot, write_card
from models.recipes.taxi_forecast_data import DAY, WEEK, Taxi, changed_copies, read_taxi

ARCHITECTURE = Architecture(
    features=("passengers",),
    target=("passengers",),
    frequency="30min",
    horizon=2 * DAY,
    hidden_size=96,
    calendar=("hour_of_day", "day_of_week"),
    distribution="quantiles",
    quantiles=(0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95),
    season=WEEK,
    output_residual=True,
    context=Layer(16, "none"),
    local=Layer(48, "gelu"),
)
SCHEDULE = Schedule(
    updates=900, rate=1e-2, dropout=0.1, weight_decay=0.01, streams=16, piece=168, positions=24, patience=20
)
COPIES, EVENTS_PER_DAY, EVENT_SIZE, EVENTS_SEED = 40, 0.12, 0.3, 5
GOLDEN_ROWS = WEEK + 48


def train_folder(taxi: Taxi, out: Path) -> None:
    """Train, calibrate on the validation part, and write the model folder without its card."""
    scaling = Scaling.of(taxi.values[: taxi.split.valid])
    copies = changed_copies(taxi.values, COPIES, EVENTS_PER_DAY, EVENT_SIZE, EVENTS_SEED)
    series = Series(ARCHITECTURE, scaling.scaled(copies), taxi.stamps)
    model, _ = train(ARCHITECTURE, series, taxi.split, SCHEDULE)
    factor = spread_factor(model, series, taxi.split, (0.1, 0.9), taxi.windows)
    print(f"interval widened by {factor:.3f} for its coverage on the validation part")
    widen(model, factor)
    export(model, scaling, estimate_path_correlation(model, series, taxi.split), out)
    pieces = [slice(first, first + GOLDEN_ROWS) for first in (0, taxi.split.test)]
    write_golden(out, *(np.stack([part[piece] for piece in pieces]) for part in (taxi.values, taxi.stamps)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["train", "evaluate"])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds nyc_taxi.csv")
    parser.add_argument("--out", type=Path, default=Path("models/taxi-forecast/1"), help="the model folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # sums in one order: the same seed gives the same network
    taxi = read_taxi(arguments.data)
    if arguments.action == "train":
        train_folder(taxi, arguments.out)
        plot(taxi, arguments.out)
        write_card(evaluate_folder(taxi, arguments.out), arguments.out)
    else:
        evaluate_folder(taxi, arguments.out)


if __name__ == "__main__":
    main()
