"""Golden vectors of a forecaster, from inputs in their own units to the distributions of the steps ahead.

The file holds `inputs.values` (B, t, F) float64 with NaN where missing; `inputs.timestamps` (B, t) int64, microseconds
since 1970, where the model has calendar features; `inputs.future` (B, H, known) float64 where it has known covariates;
`outputs.parameters` (B, H, T, P), scaled, after the last row (H = 1 where decoding is autoregressive); and the
recurrent state after it, from the initial state, or none.

If the model reads windows, outputs and state are those of the last window.
"""

from collections.abc import Container
from functools import reduce
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.domain.rfc3339 import BEGIN, END
from service.model_folder.golden.comparison import (
    Replay,
    Tolerance,
    check_names,
    check_shapes,
    compare,
    prefixed,
    stated,
    unstack,
)
from service.nets.forecast_inputs.preprocessor import Preprocessor
from service.nets.layers.rnn_stack import State
from service.nets.models.forecaster import Forecaster


def replay_forecaster(
    path: Path, tensors: dict[str, Tensor], network: Forecaster, preprocessor: Preprocessor, tolerance: Tolerance
) -> Replay:
    """Replay step by step and as a whole sequence, or windows at once and in two pieces. Raises ModelFolderError."""
    unstack(path, tensors, network.rnn.layout.depth)
    inputs = _split_inputs(path, tensors, network)
    rows, times, _ = inputs["inputs.values"].shape
    expected = check_shapes(path, tensors, _output_shapes(rows, network, tensors))
    x, future, base = _inputs(inputs, preprocessor)
    actual = {mode: _outputs(network, state, future, base) for mode, state in _states(network, x).items()}
    return compare(path, expected, actual, tolerance, rows * times)


def _split_inputs(path: Path, tensors: dict[str, Tensor], network: Forecaster) -> dict[str, Tensor]:
    """Remove the inputs from `tensors` and return them. Raises ModelFolderError for a wrong name or shape."""
    config = network.config
    names = {"inputs.values": True, "inputs.timestamps": bool(config.calendar), "inputs.future": bool(config.known)}
    required = {name for name, needed in names.items() if needed}
    check_names(path, {*tensors}, required | {*_output_shapes(0, network, tensors)})
    inputs = {name: tensors.pop(name) for name in required}
    values = inputs["inputs.values"]
    if values.dim() != 3 or values.shape[2] != len(config.features) or not values.numel():
        shape = [*values.shape]
        raise ModelFolderError(
            f"{path}: inputs.values: found shape {shape}, expected [batch, time, {len(config.features)}]"
        )
    rows, times, _ = values.shape
    shapes = {"inputs.timestamps": (rows, times), "inputs.future": (rows, config.steps, len(config.known))}
    check_shapes(path, inputs, {name: shape for name, shape in shapes.items() if name in inputs})
    if "inputs.timestamps" in inputs:
        _check_times(path, inputs["inputs.timestamps"])
    return inputs


def _check_times(path: Path, times: Tensor) -> None:
    dtype = str(times.dtype).removeprefix("torch.")
    if times.dtype != torch.int64:
        raise ModelFolderError(f"{path}: inputs.timestamps: found {dtype}, expected int64")
    first, last = int(times.min()), int(times.max())
    if first < BEGIN or last >= END:
        raise ModelFolderError(
            f"{path}: inputs.timestamps: found {first} to {last}, expected microseconds of the years 1 to 9999"
        )


def _output_shapes(rows: int, network: Forecaster, tensors: Container[str]) -> dict[str, tuple[int, ...]]:
    config = network.config
    states = {f"state.{spec.name}": (rows, *spec.shape) for spec in network.rnn.layout.recurrent_state()}
    outputs = {"outputs.parameters": (rows, config.steps, len(config.target), config.parameters)}
    return {**outputs, **stated(states, tensors)}


def _inputs(golden: dict[str, Tensor], preprocessor: Preprocessor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the inputs (B, t, W), and the features (B steps, K) and bases (B steps, T) of the steps ahead."""
    steps, calendar = preprocessor.config.steps, preprocessor.config.calendar
    series = []
    for index, values in enumerate(golden["inputs.values"].double().numpy()):
        times = golden["inputs.timestamps"][index].numpy() if calendar else None
        known = np.zeros((steps, 0))
        if "inputs.future" in golden:
            known = preprocessor.scale_known(golden["inputs.future"][index].double().numpy())
        history = preprocessor.initial_history()
        rows = preprocessor.transform(values, times, history.last)
        after = preprocessor.times_after(None if times is None else int(times[-1]), steps)
        series.append(
            (rows.inputs, *preprocessor.future_inputs(preprocessor.advance(history, rows.filled), after, known))
        )
    inputs, future, base = (torch.from_numpy(np.stack(parts)).float() for parts in zip(*series, strict=True))
    return inputs, future.flatten(0, 1), base.flatten(0, 1)


def _states(network: Forecaster, x: Tensor) -> dict[str, State]:
    """Return the states after inputs (B, t, W) in each mode of computing."""
    initial = network.initial_state(len(x))
    whole = network.sequence(x, initial)
    if network.config.window_size is None:
        steps = reduce(lambda state, row: network.step(row, state), x.unbind(1), initial)
        return {"step by step": steps, "as a sequence": whole}
    pieces = [piece for piece in x.tensor_split(2, 1) if piece.numel()]
    parts = reduce(lambda state, piece: network.sequence(piece, state), pieces, initial)
    return {"as a sequence": whole, "in two pieces": parts}


def _outputs(network: Forecaster, state: State, future: Tensor, base: Tensor) -> State:
    contexts = network.contexts(network.features_of(state), network.config.steps)
    parameters = network.parameters_of(contexts.flatten(0, 1), future, base)
    recurrent = prefixed(network.recurrent_state(state))
    return {"outputs.parameters": parameters.reshape(*contexts.shape[:2], *parameters.shape[1:]), **recurrent}
