"""Writes small real forecasters; the golden vectors come from `forecast_trainer.py`."""

import json
import math
import random
from pathlib import Path
from typing import Any

import torch

from service.model_folder.safetensors_io import write_tensor_file
from tests.forecast_trainer import ForecastTrainer, Row, step_of, width_of
from tests.registered import with_state

#: A Monday, at half past ten in the evening.
START = 1_750_631_400_000_000


def forecaster_fields(**config: Any) -> dict[str, Any]:
    """Return a config.json, without its state; sizes that are left out fit each other."""
    fields: dict[str, Any] = {
        "format_version": 1,
        "task": "forecasting",
        "architecture": "forecaster",
        "cell": "lstm",
        "num_layers": 1,
        "hidden_size": 8,
        "features": ["load"],
        "horizon": 4,
        "distribution": "gaussian",
        "frequency": "30min",
        **config,
    }
    fields.setdefault("target", [fields["features"][0]])
    fields.setdefault("input_size", width_of(fields))
    return fields


def write_forecaster(
    root: Path,
    name: str = "sensor",
    version: str = "1",
    *,
    preprocessor: dict[str, Any] | None = None,
    seed: int = 0,
    golden: bool = True,
    **config: Any,
) -> Path:
    """Write `root`/`name`/`version` with seeded random weights; `config` and `preprocessor` are further fields."""
    folder = root / name / version
    folder.mkdir(parents=True)
    fields = forecaster_fields(**config)
    count = len(fields["features"])
    scaling = {
        "format_version": 1,
        "features": fields["features"],
        "mean": [100.0 + 10 * at for at in range(count)],
        "scale": [20.0 + at for at in range(count)],
        "frequency": fields.get("frequency"),
        "clamp": 5.0,
        "missing": "last",
        **(preprocessor or {}),
    }
    (folder / "config.json").write_text(json.dumps(with_state(fields, str(folder)), indent=2), "utf-8")
    (folder / "preprocessor.json").write_text(json.dumps(scaling, indent=2), "utf-8")
    trainer = ForecastTrainer(fields, scaling, seed).eval()
    write_tensor_file(folder / "model.safetensors", trainer.tensors())
    front = "---\ndescription: A small forecaster with random weights.\nmetrics:\n  mae: 4.5\n---\n"
    (folder / "README.md").write_text(f"{front}\n# {name}\n", "utf-8")
    if golden:
        write_golden(folder / "golden.safetensors", trainer)
    return folder


def read_trainer(folder: Path, seed: int = 0) -> ForecastTrainer:
    """Return the trainer that wrote `folder`."""
    read = [json.loads((folder / name).read_text("utf-8")) for name in ("config.json", "preprocessor.json")]
    return ForecastTrainer(*read, seed).eval()


def series(trainer: ForecastTrainer, rows: int, seed: int = 0, missing: float = 0.2) -> list[Row]:
    """Return observations in units around the trainer's means; one number of each feature comes first."""
    own = random.Random(seed)
    found: list[Row] = []
    for at in range(rows):
        row: Row = []
        for column, (mean, scale) in enumerate(zip(trainer.pre["mean"], trainer.pre["scale"], strict=True)):
            static = column in trainer.static
            value = mean + scale * (1.0 if static else own.gauss(math.sin(at / 3), 1.0))
            row.append(None if at and own.random() < missing else value)
        found.append(row)
    return found


def times_of(trainer: ForecastTrainer, rows: int) -> list[int] | None:
    """Return regular times, where the model reads any."""
    step = step_of(trainer.config.get("frequency")) or 1_000_000
    return [START + at * step for at in range(rows)] if trainer.calendar else None


def future_of(trainer: ForecastTrainer, steps: int | None = None) -> list[list[float]] | None:
    """Return known covariates of the steps ahead, where the model has any."""
    if not trainer.known:
        return None
    count = trainer.steps if steps is None else steps
    return [[trainer.pre["mean"][column] + 7.0 * step for column in trainer.known] for step in range(count)]


def write_golden(path: Path, trainer: ForecastTrainer, tolerance: float = 1e-4) -> None:
    """Write what `trainer` computes for two series of nine rows."""
    rows, future = [series(trainer, 9, seed) for seed in (1, 2)], future_of(trainer)
    times = times_of(trainer, 9)
    found = [trainer(one, times, future) for one in rows]
    states = {f"state.{name}": torch.cat([state[name] for _, state in found]) for name in found[0][1]}
    numbers = [[[math.nan if value is None else value for value in row] for row in one] for one in rows]
    vectors = {
        "inputs.values": torch.tensor(numbers, dtype=torch.float64),
        **({"inputs.timestamps": torch.tensor([times, times])} if times else {}),
        **({"inputs.future": torch.tensor([future, future], dtype=torch.float64)} if future else {}),
        "outputs.parameters": torch.stack([parameters for parameters, _ in found]),
        **states,
    }
    write_tensor_file(path, vectors, {"tolerance": str(tolerance)})
