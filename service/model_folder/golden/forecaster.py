"""Golden vectors of a forecaster, from numbers in their own units to the distributions ahead.

The file holds `inputs.values` (B, t, F) float64 with NaN where missing; `inputs.timestamps` (B, t) int64, microseconds
since 1970, where the model has calendar features; `inputs.future` (B, H, known) float64 where it has known covariates;
`outputs.parameters` (B, H, T, P), scaled, after the last row (H = 1 where decoding is autoregressive); and the
recurrent state after it, from the zero state.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.model_folder.golden.comparison import Replay, Tolerance, check_names, check_shapes, compare, unstack
from service.nets.forecast_inputs.preprocessor import Preprocessor
from service.nets.layers.rnn_stack import State
from service.nets.models.forecaster import Forecaster


def replay_forecaster(
    path: Path, tensors: dict[str, Tensor], network: Forecaster, preprocessor: Preprocessor, allowance: Tolerance
) -> Replay:
    """Replay step by step and as a whole sequence. Raises ModelFolderError."""
    config = network.config
    unstack(path, tensors, config.num_layers)
    shapes = {spec.name: spec.shape for spec in network.rnn.specs}
    outputs = {"outputs.parameters", *(f"state.{name}" for name in shapes)}
    inputs = {"inputs.values", *(["inputs.timestamps"] if config.calendar else [])}
    inputs |= {"inputs.future"} if config.known else set()
    check_names(path, {*tensors}, inputs | outputs)
    given = {name: tensors.pop(name) for name in inputs}
    values = given["inputs.values"]
    if values.dim() != 3 or values.shape[2] != len(config.features) or not values.numel():
        found = [*values.shape]
        raise ModelFolderError(
            f"{path}: inputs.values: found shape {found}, expected [batch, time, {len(config.features)}]"
        )
    rows = len(values)
    check_shapes(path, given, _input_shapes(given, network))
    wanted: dict[str, tuple[int, ...]] = {
        "outputs.parameters": (rows, config.steps, len(config.target), config.parameters),
        **{f"state.{name}": (rows, *shape) for name, shape in shapes.items()},
    }
    expected = check_shapes(path, tensors, wanted)
    x, beside, base = _inputs(given, preprocessor)
    manners = {"step by step": _steps(network, x), "as a sequence": network.sequence(x, network.initial_state(rows))}
    found_by = {manner: _outputs(network, state, beside, base) for manner, state in manners.items()}
    return compare(path, expected, found_by, allowance, values.shape[0] * values.shape[1])


def _input_shapes(given: dict[str, Tensor], network: Forecaster) -> dict[str, tuple[int, ...]]:
    rows, times, _ = given["inputs.values"].shape
    shapes = {
        "inputs.timestamps": (rows, times),
        "inputs.future": (rows, network.config.steps, len(network.config.known)),
    }
    return {name: shape for name, shape in shapes.items() if name in given}


def _inputs(given: dict[str, Tensor], preprocessor: Preprocessor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the network's inputs (B, t, W), and what is known of the steps ahead, (B steps, K) and (B steps, T)."""
    steps, calendar = preprocessor.config.steps, preprocessor.config.calendar
    found = []
    for at, values in enumerate(given["inputs.values"].double().numpy()):
        times = given["inputs.timestamps"][at].numpy() if calendar else None
        known = np.zeros((steps, 0))
        if "inputs.future" in given:
            known = preprocessor.scale_known(given["inputs.future"][at].double().numpy())
        trail = preprocessor.empty_trail()
        rows = preprocessor.read(values, times, trail.last)
        after = preprocessor.times_after(None if times is None else int(times[-1]), steps)
        found.append((rows.inputs, *preprocessor.ahead(preprocessor.advance(trail, rows.filled), after, known)))
    inputs, beside, base = (torch.from_numpy(np.stack(parts)).float() for parts in zip(*found, strict=True))
    return inputs, beside.flatten(0, 1), base.flatten(0, 1)


def _steps(network: Forecaster, x: Tensor) -> State:
    state = network.initial_state(len(x))
    for row in x.unbind(1):
        state = network.step(row, state)
    return state


def _outputs(network: Forecaster, state: State, beside: Tensor, base: Tensor) -> State:
    contexts = network.contexts(state, network.config.steps)
    parameters = network.parameters_of(contexts.flatten(0, 1), beside, base)
    recurrent = {f"state.{spec.name}": state[spec.name] for spec in network.rnn.specs}
    return {"outputs.parameters": parameters.reshape(*contexts.shape[:2], *parameters.shape[1:]), **recurrent}
