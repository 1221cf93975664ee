"""Golden vectors of an encoder-decoder.

The file holds `inputs.source` (B, S) with the end symbol, `inputs.target` (B, T) from the begin symbol,
`outputs.logits` (B, T, V) and the decoder's state. Optional tensors are `outputs.memory` (B, S, M),
`outputs.attention` (B, T, S), and the decoder's first state, named `state.initial_h_l{k}` or `state.initial_h`, ...
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
from service.nets.models.encoder_decoder import EncoderDecoder


def replay_encoder_decoder(
    path: Path, tensors: dict[str, Tensor], network: EncoderDecoder, _companions: object, tolerance: Tolerance
) -> Replay:
    """Replay step by step and, without input feeding, as a whole sequence. Raises ModelFolderError."""
    config = network.config
    for prefix in ("state.", "state.initial_"):
        unstack(path, tensors, config.decoder.total_layers, prefix)
    sizes = {spec.name: spec.shape for spec in network.decoder.rnn.specs}
    final, initial = ({f"{prefix}{name}" for name in sizes} for prefix in ("state.", "state.initial_"))
    attention = ["outputs.attention"] if config.attention else []
    optional = frozenset({"outputs.memory", "state.attentional", *attention, *initial})
    check_names(path, {*tensors}, {"inputs.source", "inputs.target", "outputs.logits", *final}, optional)
    source, target = tensors.pop("inputs.source"), tensors.pop("inputs.target")
    check_ids(path, "inputs.source", source, config.encoder.vocab_size)
    check_ids(path, "inputs.target", target, config.decoder.vocab_size)
    rows, (_, positions), (_, steps) = len(target), source.shape, target.shape
    shapes: dict[str, tuple[int, ...]] = {
        "outputs.logits": (rows, steps, config.decoder.vocab_size),
        "outputs.memory": (rows, positions, config.memory_size),
        "outputs.attention": (rows, steps, positions),
        "state.attentional": (rows, config.features_size),
        **{f"{prefix}{name}": (rows, *size) for name, size in sizes.items() for prefix in ("state.", "state.initial_")},
    }
    expected = check_shapes(path, tensors, {name: shapes[name] for name in tensors})
    modes = {"step by step": _decode_steps(network, source, target)}
    if not network.steps_only:
        modes["as a sequence"] = _decode_whole(network, source, target)
    return compare(path, expected, modes, tolerance, source.numel() + target.numel())


def _decode_steps(network: EncoderDecoder, source: Tensor, target: Tensor) -> State:
    memory, state = network.encode(source)
    outputs = {"outputs.memory": memory.values, **prefixed(state, "state.initial_")}
    counts, logits, weights = [1] * len(source), [], []
    for column in target.unbind(1):
        features, attended, state = network.step(column, state, memory, counts)
        logits.append(network.logits(features))
        weights += [] if attended is None else [attended]
    attention = {"outputs.attention": torch.stack(weights, 1)} if weights else {}
    return {**outputs, "outputs.logits": torch.stack(logits, 1), **attention, **prefixed(state)}


def _decode_whole(network: EncoderDecoder, source: Tensor, target: Tensor) -> State:
    memory, first = network.encode(source)
    features, weights, state = network.sequence(target, first, memory)
    attention = {} if weights is None else {"outputs.attention": weights}
    outputs = {"outputs.memory": memory.values, "outputs.logits": network.logits(features), **attention}
    return {**outputs, **prefixed(first, "state.initial_"), **prefixed(state)}
