"""Golden vectors of a language model.

The file holds `inputs.ids` (B, T) int64, `outputs.logits` (B, T, V), and the recurrent state after the last timestep,
from the zero state.
"""

from pathlib import Path

import torch
from torch import Tensor

from service.model_folder.golden.comparison import (
    Replay,
    Tolerance,
    check_ids,
    check_names,
    check_shapes,
    compare,
    prefixed,
    unstack,
)
from service.nets.layers.rnn_stack import State
from service.nets.models.language_model import LanguageModel


def replay_language_model(
    path: Path, tensors: dict[str, Tensor], network: LanguageModel, _companions: object, tolerance: Tolerance
) -> Replay:
    """Replay step by step and as a whole sequence. Raises ModelFolderError."""
    unstack(path, tensors, network.rnn.layout.depth)
    shapes = {spec.name: spec.shape for spec in network.rnn.layout.recurrent_state()}
    check_names(path, {*tensors}, {"inputs.ids", "outputs.logits", *(f"state.{name}" for name in shapes)})
    ids = tensors["inputs.ids"]
    check_ids(path, "inputs.ids", ids, network.config.vocab_size)
    expected_shapes: dict[str, tuple[int, ...]] = {"outputs.logits": (*ids.shape, network.config.vocab_size)}
    expected_shapes |= {f"state.{name}": (len(ids), *shape) for name, shape in shapes.items()}
    expected = check_shapes(path, tensors, expected_shapes)
    modes = {"step by step": _steps(network, ids), "as a sequence": _whole(network, ids)}
    return compare(path, expected, modes, tolerance, ids.numel())


def _steps(network: LanguageModel, ids: Tensor) -> State:
    state, logits = network.initial_recurrent_state(len(ids)), []
    for column in ids.unbind(1):
        features, state = network.step(column, state)
        logits.append(network.logits(features))
    return {"outputs.logits": torch.stack(logits, 1), **prefixed(state)}


def _whole(network: LanguageModel, ids: Tensor) -> State:
    features, state = network.sequence(ids, network.initial_recurrent_state(len(ids)))
    return {"outputs.logits": network.logits(features), **prefixed(state)}
