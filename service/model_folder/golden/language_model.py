"""Golden vectors of a language model.

The file holds `inputs.ids` (B, T) int64, `outputs.logits` (B, T, V), and the recurrent state after the last timestep,
from the initial state, or none.

If the model reads windows, each of the logits is that of the window that ends with its token, and the recurrent state
is that of the last window. The file may have the logits (B, V) of the last window alone. The ids are
without padding.

If sequences begin with a vector, the file holds `inputs.vector` (B, N), too. If it is the first input, the logits may
be (B, T + 1, V), those after the vector first. (B, T, V) are those after each token, or else those before each token,
without the last: a trainer's network often reads the vector in front of all tokens but the last.
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
    vector = {"inputs.vector": (config.vector_size,)} if config.vector_size else {}
    check_names(path, {*tensors}, {"inputs.ids", "outputs.logits", *shapes, *vector})
    ids = tensors["inputs.ids"]
    check_ids(path, "inputs.ids", ids, config.vocab_size)
    if config.vector_size:
        return _replay_with_vector(path, tensors, network, shapes, tolerance)
    last_only = config.window_size is not None and tensors["outputs.logits"].dim() == 2
    outputs = (len(ids), config.vocab_size) if last_only else (*ids.shape, config.vocab_size)
    batches = {name: (len(ids), *shape) for name, shape in shapes.items()}
    expected = check_shapes(path, tensors, {"outputs.logits": outputs, **batches})
    modes = _modes(network, ids, padded_state(network.initial_recurrent_state(len(ids)), config.padding, vocabulary))
    if last_only:
        modes = {mode: {**actual, "outputs.logits": actual["outputs.logits"][:, -1]} for mode, actual in modes.items()}
    return compare(path, expected, modes, tolerance, ids.numel())


def _replay_with_vector(
    path: Path,
    tensors: dict[str, Tensor],
    network: LanguageModel,
    shapes: dict[str, tuple[int, ...]],
    tolerance: Tolerance,
) -> Replay:
    """Replay sequences that begin with a vector, step by step and as a whole sequence."""
    config, ids = network.config, tensors["inputs.ids"]
    rows, times = ids.shape
    reads = config.vector is not None and config.vector.first_input is not None
    after_vector = reads and tensors["outputs.logits"].shape[1:2] == (times + 1,)
    sizes = {
        "inputs.vector": (rows, config.vector_size or 0),
        "outputs.logits": (rows, times + after_vector, config.vocab_size),
        **{name: (rows, *shape) for name, shape in shapes.items()},
    }
    expected = check_shapes(path, tensors, sizes)
    features, state = network.begin(expected.pop("inputs.vector"))
    first = [network.logits(features)] if reads else []
    modes = _modes(network, ids, state, first)
    if reads and not after_vector:
        in_front = _modes(network, ids[:, :-1], state, first)
        behind = {mode: {**own, "outputs.logits": own["outputs.logits"][:, 1:]} for mode, own in modes.items()}
        given = expected["outputs.logits"]
        modes = in_front if _distance(in_front, given) < _distance(behind, given) else behind
    return compare(path, expected, modes, tolerance, ids.numel() + rows * reads)


def _distance(modes: dict[str, State], expected: Tensor) -> float:
    """Return the largest difference of the logits of a mode from the expected ones; that of NaN is infinite."""
    logits = next(iter(modes.values()))["outputs.logits"]
    return float((logits - expected).abs().nan_to_num(nan=torch.inf).max())


def _modes(network: LanguageModel, ids: Tensor, state: State, first: Sequence[Tensor] = ()) -> dict[str, State]:
    """Return the outputs of each mode of computing, behind the `first` logits (B, V)."""
    whole = _whole(network, [ids], state, first)
    if network.config.window_size is None:
        return {"step by step": _steps(network, ids, state, first), "as a sequence": whole}
    return {"as a sequence": whole, "in two pieces": _whole(network, ids.tensor_split(2, 1), state)}


def _steps(network: LanguageModel, ids: Tensor, state: State, first: Sequence[Tensor]) -> State:
    logits = [*first]
    for column in ids.unbind(1):
        features, state = network.step(column, state)
        logits.append(network.logits(features))
    return {"outputs.logits": torch.stack(logits, 1), **prefixed(network.recurrent_state(state))}


def _whole(network: LanguageModel, pieces: Sequence[Tensor], state: State, first: Sequence[Tensor] = ()) -> State:
    logits = [own[:, None] for own in first]
    for piece in pieces:
        if piece.numel():
            features, state = network.sequence(piece, state)
            logits.append(network.logits(features))
    return {"outputs.logits": torch.cat(logits, 1), **prefixed(network.recurrent_state(state))}
