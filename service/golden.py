"""Golden vectors: what a trainer's own network computes, in the file that proves a model folder.

    record(network, inputs, "models/mine/1")

This module needs torch and safetensors alone. docs/golden.py is a copy of it, to lie beside a trainer's own code.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

FILE = "golden.safetensors"


def record(
    network: nn.Module,
    inputs: Tensor | Mapping[str, Tensor],
    folder: str | Path,
    *,
    outputs: str | None = None,
    tolerance: float = 1e-4,
) -> Path:
    """Run a network, and write its inputs and outputs as golden.safetensors into a folder. Return the path.

    Args:
        network: the trainer's own network. It is called with the inputs, in their order, and returns its outputs;
            outputs and recurrent state as torch.nn returns it, h or (h, c); or a mapping of all tensors by their names
            in the file, such as `outputs.memory`.
        inputs: token ids (B, T) int64, or values (B, T, F) in the units of the data, NaN where missing; of several
            inputs a mapping by their names in the file, such as `source` and `target`.
        folder: the model folder, or one that gets the file alone. A config.json in it decides on names and shapes.
        outputs: the name of the outputs if there is no config.json: `logits` (the default for ids), `parameters` (the
            default for values), `values` or `embedding`.
        tolerance: the largest difference that a server may compute, relative to the size of the numbers.
    """
    named = dict(inputs) if isinstance(inputs, Mapping) else {"values" if inputs.is_floating_point() else "ids": inputs}
    config = _read_config(Path(folder))
    found = {f"inputs.{name}": tensor for name, tensor in named.items()}
    result = _run(network, [*named.values()])
    if isinstance(result, Mapping):
        found |= result
    else:
        answer, state = (result[0], result[1:]) if isinstance(result, tuple) else (result, ())
        name = outputs or _output_name(config, named)
        found |= {f"outputs.{name}": _shaped(answer, name, config), **_states(state, config)}
    path = Path(folder) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: _stored(tensor) for name, tensor in found.items()}, path, {"tolerance": str(tolerance)})
    return path


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    fields: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return fields


def _run(network: nn.Module, inputs: list[Tensor]) -> Any:  # noqa: ANN401 - whatever the network returns
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            return network(*inputs)
    finally:
        network.train(training)


def _output_name(config: dict[str, Any], inputs: Mapping[str, Tensor]) -> str:
    if config.get("probabilities"):
        return "probabilities"
    if "readout" in config:
        return "logits" if config.get("labels") else "values" if config.get("names") else "embedding"
    return "parameters" if "values" in inputs else "logits"


def _shaped(answer: Tensor, name: str, config: dict[str, Any]) -> Tensor:
    """Return the parameters of a forecaster as (B, steps, targets, parameters), and other outputs as they are."""
    if name != "parameters" or "target" not in config:
        return answer
    steps = config["horizon"] if config.get("decoding", "direct") == "direct" else 1
    return answer.reshape(len(answer), steps, len(config["target"]), -1)


def _states(state: tuple[Any, ...], config: dict[str, Any]) -> dict[str, Tensor]:
    """Return the recurrent state h, or (h, c), of (L, B, size) each by name; none with a window or both directions."""
    if any(config.get(field) for field in ("window", "padding", "bidirectional", "inputs")):
        return {}
    parts = state[0] if state and isinstance(state[0], tuple) else state
    return {f"state.{name}": part for name, part in zip("hc", parts, strict=False)}


def _stored(tensor: Tensor) -> Tensor:
    own = tensor.detach().cpu().contiguous().clone()
    return own.float() if own.dtype in {torch.float16, torch.bfloat16} else own
