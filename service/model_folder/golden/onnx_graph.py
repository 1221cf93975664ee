"""Golden vectors of an ONNX graph.

The file holds for each input `inputs.NAME` (B, T, row), for each output `outputs.NAME` (B, T, row), and for any state
`state.NAME` (B, row), the state under the name of its input after the last timestep, from the initial state. A row has
the shape of config.json without the batch. Without B the vectors are those of one sequence, and states may have the
shape of the graph.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.model_folder.golden.comparison import Replay, Tolerance, check_names, compare
from service.nets.onnx_graph.graph_config import BATCH, Shape, TensorField
from service.nets.onnx_graph.network import OnnxNetwork
from service.nets.onnx_graph.runtime import Array, GraphFailure


def replay_onnx_graph(
    path: Path,
    tensors: dict[str, Tensor],
    network: OnnxNetwork,
    initial: dict[str, Array],
    tolerance: Tolerance,
) -> Replay:
    """Replay step by step, each sequence alone and all in a batch. Raises ModelFolderError."""
    config = network.config
    inputs = {f"inputs.{entry.name}": entry for entry in config.inputs}
    outputs = {f"outputs.{entry.name}": entry for entry in config.outputs}
    states = {f"state.{entry.input}": entry for entry in config.state}
    check_names(path, {*tensors}, {*inputs, *outputs}, frozenset(states))
    _stack_single(path, tensors, {**inputs, **outputs})
    for name, entry in states.items():
        if name in tensors:
            tensors[name] = _state(path, name, tensors[name], entry.row, entry.shape)
    _check_rows(path, tensors, {**inputs, **outputs})
    series = [_array(path, name, tensors[name], entry) for name, entry in inputs.items()]
    expected = {name: tensors[name].double() for name in tensors if name not in inputs}
    modes = {"each sequence alone": _alone(network, series, initial)}
    if config.batched:
        modes["in a batch"] = _together(network, series, initial)
    rows, steps = series[0].shape[:2]
    return compare(path, expected, modes, tolerance, rows * steps)


def _stack_single(path: Path, tensors: dict[str, Tensor], entries: dict[str, TensorField]) -> None:
    """Give the vectors of one sequence a batch of one. Raises ModelFolderError for another number of axes."""
    for name, entry in entries.items():
        depth = tensors[name].dim() - len(entry.row)
        if depth == 1:
            tensors[name] = tensors[name][None]
        elif depth != 2:
            shape = [*tensors[name].shape]
            raise ModelFolderError(f"{path}: {name}: found shape {shape}, expected [batch, time, *{[*entry.row]}]")


def _check_rows(path: Path, tensors: dict[str, Tensor], entries: dict[str, TensorField]) -> None:
    """Check the sizes of all vectors against those of the first one. Raises ModelFolderError."""
    first = next(iter(entries))
    leading = tensors[first].shape[:2]
    if not tensors[first].numel():
        raise ModelFolderError(f"{path}: {first}: found shape {[*tensors[first].shape]}, expected a vector at least")
    for name, entry in entries.items():
        shape = tensors[name].shape
        fixed = all(not isinstance(axis, int) or axis == size for axis, size in zip(entry.row, shape[2:], strict=True))
        if shape[:2] != leading or not fixed:
            expected = [*leading, *entry.row]
            raise ModelFolderError(f"{path}: {name}: found shape {[*shape]}, expected {expected}")


def _state(path: Path, name: str, state: Tensor, row: tuple[int, ...], shape: Shape) -> Tensor:
    """Return a state with the batch in front. Raises ModelFolderError for another shape."""
    single = tuple(1 if axis == BATCH else axis for axis in shape)
    if state.shape[1:] == row:
        return state
    if state.shape in {single, row}:
        return state.reshape(1, *row)
    raise ModelFolderError(f"{path}: {name}: found shape {[*state.shape]}, expected [batch, *{[*row]}]")


def _array(path: Path, name: str, tensor: Tensor, entry: TensorField) -> Array:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype != entry.dtype:
        raise ModelFolderError(f"{path}: {name}: found {dtype}, expected {entry.dtype}")
    return tensor.numpy()


def _alone(network: OnnxNetwork, series: list[Array], initial: dict[str, Array]) -> dict[str, Tensor]:
    runs = [_together(network, [array[row : row + 1] for array in series], initial) for row in range(len(series[0]))]
    return {name: torch.cat([run[name] for run in runs]) for name in runs[0]}


def _together(network: OnnxNetwork, series: list[Array], initial: dict[str, Array]) -> dict[str, Tensor]:
    """Return the outputs (B, T, row) and states (B, row) of all sequences."""
    config, batch = network.config, len(series[0])
    states = np.repeat(network.initial_row(initial)[None], batch, 0)
    steps: list[list[Array]] = []
    try:
        for step in range(series[0].shape[1]):
            outputs, states = network.step([array[:, step] for array in series], states)
            steps.append(outputs)
    except GraphFailure as error:
        raise ValueError(str(error)) from error
    stacked = zip(config.outputs, zip(*steps, strict=True), strict=True)
    results = {f"outputs.{entry.name}": np.stack(rows, 1) for entry, rows in stacked}
    for entry, part in zip(config.state, network.rows.parts, strict=False):
        results[f"state.{entry.input}"] = part.flat(states).reshape(batch, *entry.row)
    return {name: torch.from_numpy(np.ascontiguousarray(array)).double() for name, array in results.items()}
