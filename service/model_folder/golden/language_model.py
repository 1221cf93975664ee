"""Golden vectors of a language model.

The file holds `inputs.ids` (B, T) int64, `outputs.logits` (B, T, V), and the recurrent state after the last timestep,
from the initial state, or none.

If the model reads windows, each of the logits is that of the window that ends with its token, and the recurrent state
is that of the last window. The file may have the logits (B, V) of the last window alone. The ids are
without padding.
"""

from collections.abc import Sequence
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
    stated,
    unstack,
)
from service.model_folder.golden.padding import Tokens, padded_state
from service.nets.layers.rnn_stack import State
from service.nets.models.language_model import LanguageModel


def replay_language_model(
    path: Path, tensors: dict[str, Tensor], network: LanguageModel, vocabulary: Tokens, tolerance: Tolerance
) -> Replay:
    """Replay step by step and as a whole sequence, or windows at once and in two pieces. Raises ModelFolderError."""
    config = network.config
    unstack(path, tensors, network.rnn.layout.depth)
    states = {f"state.{spec.name}": spec.shape for spec in network.rnn.layout.recurrent_state()}
    shapes = stated(states, tensors)
    check_names(path, {*tensors}, {"inputs.ids", "outputs.logits", *shapes})
    ids = tensors["inputs.ids"]
    check_ids(path, "inputs.ids", ids, config.vocab_size)
    last_only = config.window_size is not None and tensors["outputs.logits"].dim() == 2
    outputs = (len(ids), config.vocab_size) if last_only else (*ids.shape, config.vocab_size)
    batches = {name: (len(ids), *shape) for name, shape in shapes.items()}
    expected = check_shapes(path, tensors, {"outputs.logits": outputs, **batches})
    modes = _modes(network, ids, padded_state(network.initial_recurrent_state(len(ids)), config.padding, vocabulary))
    if last_only:
        modes = {mode: {**actual, "outputs.logits": actual["outputs.logits"][:, -1]} for mode, actual in modes.items()}
    return compare(path, expected, modes, tolerance, ids.numel())


def _modes(network: LanguageModel, ids: Tensor, state: State) -> dict[str, State]:
    """Return the outputs of each mode of computing."""
    whole = _whole(network, [ids], state)
    if network.config.window_size is None:
        return {"step by step": _steps(network, ids, state), "as a sequence": whole}
    return {"as a sequence": whole, "in two pieces": _whole(network, ids.tensor_split(2, 1), state)}


def _steps(network: LanguageModel, ids: Tensor, state: State) -> State:
    logits = []
    for column in ids.unbind(1):
        features, state = network.step(column, state)
        logits.append(network.logits(features))
    return {"outputs.logits": torch.stack(logits, 1), **prefixed(network.recurrent_state(state))}


def _whole(network: LanguageModel, pieces: Sequence[Tensor], state: State) -> State:
    logits = []
    for piece in pieces:
        if piece.numel():
            features, state = network.sequence(piece, state)
            logits.append(network.logits(features))
    return {"outputs.logits": torch.cat(logits, 1), **prefixed(network.recurrent_state(state))}
