"""Golden vectors of an ONNX graph that answers sequences with labels or numbers.

The file holds `inputs.ids` (B, T) int64 for text or `inputs.values` (B, T, F) for numbers, as those of a sequence
encoder, and what the graph answers: `outputs.logits` of labels, or `outputs.probabilities` if the graph computes
these; `outputs.values` of numbers after their activation and before `target_scale`. They are (B, N), or (B, T, N) if
the readout is `each`. A state after the last timestep, `state.NAME` (B, row), is optional.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.model_folder.golden.comparison import Replay, Tolerance, check_names, compare
from service.model_folder.golden.sequence_inputs import input_name, read_inputs
from service.nets.layers.activations import make_activation
from service.nets.onnx_graph.encoder import GraphEncoder
from service.nets.onnx_graph.encoder_config import GraphEncoderConfig
from service.nets.onnx_graph.runtime import Array, GraphFailure

InputsT_co = TypeVar("InputsT_co", covariant=True)


@dataclass(frozen=True, slots=True)
class GraphCompanions(Generic[InputsT_co]):
    """What a folder has beside the graph: the file that decides how inputs are read, and initial states by name."""

    inputs: InputsT_co
    initial: dict[str, Array]


def replay_graph_encoder(
    path: Path,
    tensors: dict[str, Tensor],
    network: GraphEncoder,
    companions: GraphCompanions[object],
    tolerance: Tolerance,
) -> Replay:
    """Replay step by step, each sequence alone and all in a batch. Raises ModelFolderError."""
    config = network.encoder
    output, inputs_ = _output_name(config), input_name(config)
    states = {f"state.{entry.input}": entry.row for entry in config.state}
    check_names(path, {*tensors}, {inputs_, output}, frozenset(states))
    inputs = read_inputs(path, tensors.pop(inputs_), config, companions.inputs).numpy()
    batch, steps = inputs.shape[:2]
    each = (steps,) if config.readout == "each" else ()
    shapes = {name: (batch, *row) for name, row in states.items()} | {output: (batch, *each, config.graph_outputs)}
    _check_shapes(path, tensors, shapes)
    alone = [_run(network, inputs[row : row + 1], companions.initial, output) for row in range(batch)]
    modes = {"each sequence alone": {name: torch.cat([run[name] for run in alone]) for name in alone[0]}}
    if config.batched:
        modes["in a batch"] = _run(network, inputs, companions.initial, output)
    expected = {name: tensor.double() for name, tensor in tensors.items()}
    return compare(path, expected, modes, tolerance, batch * steps)


def _check_shapes(path: Path, tensors: dict[str, Tensor], shapes: dict[str, tuple[int, ...]]) -> None:
    for name, tensor in tensors.items():
        if tensor.shape != shapes[name]:
            raise ModelFolderError(f"{path}: {name}: found shape {[*tensor.shape]}, expected {[*shapes[name]]}")


def _output_name(config: GraphEncoderConfig) -> str:
    if config.names:
        return "outputs.values"
    return "outputs.probabilities" if config.probabilities else "outputs.logits"


def _run(network: GraphEncoder, inputs: Array, initial: dict[str, Array], output: str) -> dict[str, Tensor]:
    """Return the answers and states of all sequences."""
    states = np.repeat(network.initial_row(initial)[None], len(inputs), 0)
    answers: list[Array] = []
    try:
        for step in range(inputs.shape[1]):
            answer, states = network.compute(inputs[:, step], states)
            answers.append(answer)
    except GraphFailure as error:
        raise ValueError(str(error)) from error
    shaped = np.stack(answers, 1) if network.encoder.readout == "each" else answers[-1]
    results = {output: make_activation(network.encoder.activation)(torch.from_numpy(shaped.astype(np.float64)))}
    for entry, part in zip(network.config.state, network.rows.parts, strict=False):
        state = np.ascontiguousarray(part.flat(states).reshape(len(inputs), *entry.row))
        results[f"state.{entry.input}"] = torch.from_numpy(state).double()
    return results
