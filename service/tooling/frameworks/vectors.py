"""Golden vectors of a model folder that the framework of the imported file computes."""

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from service.domain.errors import ModelFolderError
from service.model_folder.golden.replay import FILE
from service.model_folder.safetensors_io import write_tensor_file
from service.tooling.formats.network import SavedNetwork
from service.tooling.frameworks.running import Framework, run_framework

Array = NDArray[Any]
#: Sequences and timesteps of the vectors.
SEQUENCES, TIMESTEPS = 2, 12
SEED = 20260101
#: Frameworks by the beginning of the kind of file that its reader tells.
_KINDS: dict[str, Framework] = {"Keras model": "keras", "TorchScript": "torchscript"}


def framework_of(source: Path, saved: SavedNetwork | None) -> Framework:
    """Return the framework that runs a file; graphs are no SavedNetwork. Raises ModelFolderError for other files."""
    if saved is None:
        return "onnxruntime"
    found = next((framework for kind, framework in _KINDS.items() if saved.kind.startswith(kind)), None)
    if found is None:
        raise ModelFolderError(
            f"{source}: golden: found a {saved.kind}, which holds no graph to run, expected a file of Keras, "
            "TorchScript or ONNX; service.golden.record(network, inputs, folder) records the vectors in the code of "
            "the training"
        )
    return found


def write_vectors(folder: Path, source: Path, framework: Framework) -> Path:
    """Write the golden vectors of a model folder, as the framework computes them with the file `source`.

    Raises ModelFolderError for networks whose outputs cannot be told, and for a framework that fails.
    """
    config: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    if framework == "onnxruntime":
        tensors = _graph_vectors(source, config)
    else:
        tensors = _network_vectors(folder, source, config, framework)
    path = folder / FILE
    write_tensor_file(path, {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in tensors.items()})
    return path


def _network_vectors(folder: Path, source: Path, config: dict[str, Any], framework: Framework) -> dict[str, Array]:
    if "encoder" in config or config.get("distribution", "point") != "point" or config.get("calendar"):
        raise ModelFolderError(
            f"{source}: golden: found a network whose answers are more than one output of the file, "
            "expected --golden FILE"
        )
    name, given, fed = _inputs(folder, config)
    logits = {"logits": np.ones(1)} if config.get("labels") or _predicts_tokens(config) else {}
    answer = run_framework(framework, source, {"inputs": fed, **logits})["outputs"]
    return {f"inputs.{name}": given, **_outputs(config, answer)}


def _inputs(folder: Path, config: dict[str, Any]) -> tuple[str, Array, Array]:
    """Return the name of random inputs, the inputs in their units, and as the network reads them."""
    random = np.random.default_rng(SEED)
    steps = config.get("window") or TIMESTEPS
    if "vocab_size" in config:
        ids = random.integers(min(1, config["vocab_size"] - 1), config["vocab_size"], (SEQUENCES, steps))
        return "ids", ids, ids
    scaling = json.loads((folder / "preprocessor.json").read_bytes())
    mean, scale = np.array(scaling["mean"]), np.array(scaling["scale"])
    values = random.normal(0, 0.5, (SEQUENCES, steps, len(mean))) * scale + mean
    return "values", values, ((values - mean) / scale).astype(np.float32)


def _predicts_tokens(config: dict[str, Any]) -> bool:
    """Return whether the outputs are those of a language model, which has no readout."""
    return "vocab_size" in config and "readout" not in config


def _outputs(config: dict[str, Any], answer: Array) -> dict[str, Array]:
    """Return the outputs under their names in a golden file, in the shape that they have there."""
    answer = answer.astype(np.float32)
    if _predicts_tokens(config):
        return {"outputs.logits": answer}
    if "target" in config:
        last = answer[:, -1] if answer.ndim == 3 else answer
        return {"outputs.parameters": last.reshape(SEQUENCES, -1, len(config["target"]), 1)}
    if config.get("readout") != "each" and answer.ndim == 3:
        answer = answer[:, -1]
    if len(config.get("labels", [])) == 2 and answer.shape[-1] == 1:
        answer = np.concatenate([np.zeros_like(answer), answer], -1)
    name = "logits" if config.get("labels") else "values" if config.get("names") else "embedding"
    return {f"outputs.{name}": answer}


def _graph_vectors(source: Path, config: dict[str, Any]) -> dict[str, Array]:
    """Return the vectors of one sequence of a graph. Raises ModelFolderError for graphs with overlapping inputs."""
    random = np.random.default_rng(SEED)
    if any(entry.get("overlap") for entry in config["inputs"]):
        raise ModelFolderError(f"{source}: golden: found inputs that overlap, expected --golden FILE for such a graph")
    if any(entry.get("initial", "zeros") != "zeros" for entry in config["state"]):
        raise ModelFolderError(f"{source}: golden: found states that begin otherwise than at 0, expected --golden FILE")
    series = {
        name: random.normal(0, 0.5, (TIMESTEPS, *_sizes(entry))).astype(_dtype(entry))
        for name, entry in _by_name(config["inputs"])
    }
    states = {
        f"{entry['input']}<{entry['output']}": np.zeros(_sizes(entry), _dtype(entry)) for entry in config["state"]
    }
    constants = {f"={name}": np.array(value) for name, value in config.get("constants", {}).items()}
    found = run_framework("onnxruntime", source, {**series, **states, **constants})
    rows = {f"inputs.{name}": _rows(entry, series[name]) for name, entry in _by_name(config["inputs"])}
    return rows | {f"outputs.{name}": _rows(entry, found[name]) for name, entry in _by_name(config["outputs"])}


def _sizes(entry: dict[str, Any]) -> list[int]:
    """Return the shape of a tensor with 1 for the batch and for axes of any size."""
    return [size if isinstance(size, int) else 1 for size in entry["shape"]]


def _dtype(entry: dict[str, Any]) -> str:
    return str(entry.get("dtype", "float32"))


def _by_name(entries: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [(cast("str", entry["name"]), entry) for entry in entries]


def _rows(entry: dict[str, Any], series: Array) -> Array:
    """Return the timesteps of a tensor without its batch axis."""
    shape = entry["shape"]
    return series.squeeze(1 + shape.index("batch")) if "batch" in shape else series
