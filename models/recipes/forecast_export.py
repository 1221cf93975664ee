"""Export of a trained forecaster to a model folder, and import into the trainer's network."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from models.recipes.forecast_network import Architecture, Forecaster, Layer
from models.recipes.forecast_series import CLAMP, Series, original_positions


@dataclass(frozen=True)
class Scaling:
    """Mean and scale of every feature, (features,), from the rows of the training part."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> "Scaling":
        """Compute mean and scale of values (rows, features)."""
        return cls(values.mean(0), values.std(0))

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Return values (..., features) in scaled units."""
        return np.asarray((values - self.mean) / self.scale)


def export(model: Forecaster, scaling: Scaling, path_correlation: float, out: Path) -> None:
    """Write config.json, preprocessor.json and float32 weights."""
    a = model.architecture
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    (out / "model.safetensors").write_bytes(save(weights))
    _write_json(out / "config.json", _config(a, path_correlation))
    preprocessor = {
        "format_version": 1,
        "features": a.features,
        "mean": scaling.mean.tolist(),
        "scale": scaling.scale.tolist(),
        "frequency": a.frequency,
        "clamp": CLAMP,
        "missing": "last",
    }
    _write_json(out / "preprocessor.json", preprocessor)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def _config(a: Architecture, path_correlation: float) -> dict[str, object]:
    names = [f"{tensor}_l{layer}" for layer in range(a.num_layers) for tensor in ("hc" if a.cell == "lstm" else "h")]
    shapes = {name: [a.hidden_size] for name in names} | {"last": [len(a.features)]}
    shapes |= {"history": [a.season, len(a.target)]} if a.season else {}
    return {
        "format_version": 1,
        "task": "forecasting",
        "architecture": "forecaster",
        "cell": a.cell,
        "num_layers": a.num_layers,
        "input_size": a.input_size,
        "hidden_size": a.hidden_size,
        "features": a.features,
        "target": a.target,
        "calendar": a.calendar,
        "frequency": a.frequency,
        "horizon": a.horizon,
        "decoding": "direct",
        "distribution": a.distribution,
        "quantiles": a.quantiles,
        "season": a.season,
        "output_residual": a.output_residual,
        "context": a.context and a.context._asdict(),
        "local": a.local and a.local._asdict(),
        "path_correlation": path_correlation,
        "state": [{"name": name, "shape": shape, "dtype": "float32"} for name, shape in shapes.items()],
        "dtype": "float32",
    }


def load(out: Path) -> tuple[Forecaster, Scaling]:
    """Read the exported network and its scaling."""
    config = json.loads((out / "config.json").read_text())
    fields = {name: config[name] for name in Architecture.__dataclass_fields__}
    fields |= {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    fields |= {name: Layer(**fields[name]) for name in ("context", "local") if fields[name]}
    model = Forecaster(Architecture(**fields))
    model.load_state_dict(load_file(out / "model.safetensors"))
    preprocessor = json.loads((out / "preprocessor.json").read_text())
    return model.eval(), Scaling(np.array(preprocessor["mean"]), np.array(preprocessor["scale"]))


@torch.inference_mode()
def write_golden(out: Path, values: np.ndarray, stamps: np.ndarray) -> None:
    """Write golden vectors of the exported network for pieces of a series: values (pieces, rows, features), stamps."""
    model, scaling = load(out)
    a = model.architecture
    parts: list[dict[str, Tensor]] = []
    for piece, times in zip(values, stamps, strict=True):
        series = Series(a, scaling.scaled(piece)[None], times)
        features, state = model.read(series.rows)
        last = torch.tensor([len(piece) - 1])
        parameters = model.decode(features[:, -1], series.future_features(original_positions(last)))
        tensors = state if isinstance(state, tuple) else (state,)
        named = {f"state.{name}_l{k}": h[k, 0] for name, h in zip("hc", tensors, strict=False) for k in range(len(h))}
        parts.append({"outputs.parameters": parameters[0], **named})
    golden = {name: torch.stack([part[name] for part in parts]) for name in parts[0]}
    golden["inputs.values"] = torch.from_numpy(values)
    if a.calendar:
        golden["inputs.timestamps"] = torch.from_numpy(stamps.astype("datetime64[us]").astype(np.int64))
    (out / "golden.safetensors").write_bytes(save(golden, {"tolerance": "1e-4"}))
