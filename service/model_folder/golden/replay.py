"""Replays golden.safetensors: what the trainer's own code computed, which the served network has to reproduce.

The metadata may state `tolerance` (1e-4 unless told): the largest difference allowed is this times the size of what is
compared, and this itself where that is below 1, see `Tolerance`. A reduced arithmetic, chosen for a network that has
shown to be right, may be off by a share of the largest number of each tensor (SHARES).

The recurrent state after the last timestep is one tensor per layer, `state.h_l{k}` and, for an LSTM, `state.c_l{k}`
(B, size), or `state.h` and `state.c` (L, B, size) as torch.nn returns them.

A language model's file holds `inputs.ids` (B, T) int64, `outputs.logits` (B, T, V) and the state, from the zero state.

A forecaster's file is described in `golden_forecaster.py`.

An encoder-decoder's file holds `inputs.source` (B, S) with the end mark, `inputs.target` (B, T) from the begin mark,
`outputs.logits` (B, T, V), the decoder's state, and as far as the trainer has them `outputs.memory` (B, S, M),
`outputs.attention` (B, T, S) and the decoder's first state, named `state.initial_h_l{k}` or `state.initial_h`, ...
"""

from pathlib import Path

import torch
from torch import Tensor

from service.domain.operations import ComputeDtype
from service.model_folder.golden.comparison import (
    Replay,
    Tolerance,
    check_ids,
    check_names,
    check_shapes,
    compare,
    read_tolerance,
    unstack,
)
from service.model_folder.golden.forecaster import replay_forecaster
from service.model_folder.safetensors_io import read_tensor_file
from service.nets.forecast_inputs.preprocessor import read_preprocessor
from service.nets.layers.rnn_stack import State
from service.nets.models.encoder_decoder import EncoderDecoder
from service.nets.models.forecaster import Forecaster
from service.nets.models.language_model import LanguageModel
from service.nets.models.registry import Network

FILE = "golden.safetensors"
SHARES: dict[ComputeDtype, float] = {"float32": 0.0, "bfloat16": 0.05, "int8": 0.1}


@torch.inference_mode()
def replay_golden(folder: Path, network: Network, reduced: ComputeDtype = "float32") -> Replay | None:
    """Replay step by step and as a whole sequence; None where the folder has no golden file.

    `reduced` is the arithmetic of a network whose weights were found right before. Raises ModelFolderError for a file
    that does not fit the network, and for a larger difference than is allowed.
    """
    path = folder / FILE
    if not path.exists():
        return None
    file = read_tensor_file(path)
    tensors = {name: stored.tensor() for name, stored in file.tensors.items()}
    allowance = Tolerance(read_tolerance(path, file), SHARES[reduced])
    if isinstance(network, EncoderDecoder):
        return _replay_translation(path, tensors, network, allowance)
    if isinstance(network, Forecaster):
        return replay_forecaster(path, tensors, network, read_preprocessor(folder, network.config), allowance)
    return _replay_language(path, tensors, network, allowance)


def _replay_language(path: Path, tensors: dict[str, Tensor], network: LanguageModel, allowance: Tolerance) -> Replay:
    unstack(path, tensors, network.config.num_layers)
    shapes = {spec.name: spec.shape for spec in network.rnn.specs}
    check_names(path, {*tensors}, {"inputs.ids", "outputs.logits", *(f"state.{name}" for name in shapes)})
    ids = tensors["inputs.ids"]
    check_ids(path, "inputs.ids", ids, network.config.vocab_size)
    wanted: dict[str, tuple[int, ...]] = {"outputs.logits": (*ids.shape, network.config.vocab_size)}
    wanted |= {f"state.{name}": (len(ids), *shape) for name, shape in shapes.items()}
    expected = check_shapes(path, tensors, wanted)
    manners = {"step by step": _steps(network, ids), "as a sequence": _whole(network, ids)}
    return compare(path, expected, manners, allowance, ids.numel())


def _steps(network: LanguageModel, ids: Tensor) -> State:
    state, logits = network.initial_recurrent_state(len(ids)), []
    for column in ids.unbind(1):
        features, state = network.step(column, state)
        logits.append(network.logits(features))
    return {"outputs.logits": torch.stack(logits, 1), **_named(state)}


def _whole(network: LanguageModel, ids: Tensor) -> State:
    features, state = network.sequence(ids, network.initial_recurrent_state(len(ids)))
    return {"outputs.logits": network.logits(features), **_named(state)}


def _named(state: State, prefix: str = "state.") -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def _replay_translation(
    path: Path, tensors: dict[str, Tensor], network: EncoderDecoder, allowance: Tolerance
) -> Replay:
    config = network.config
    for prefix in ("state.", "state.initial_"):
        unstack(path, tensors, config.decoder.num_layers, prefix)
    sizes = {spec.name: spec.shape for spec in network.decoder.rnn.specs}
    final, initial = ({f"{prefix}{name}" for name in sizes} for prefix in ("state.", "state.initial_"))
    optional = {"outputs.memory", "state.attentional", *(["outputs.attention"] if config.attention else []), *initial}
    check_names(path, {*tensors}, {"inputs.source", "inputs.target", "outputs.logits", *final}, optional)
    source, target = tensors.pop("inputs.source"), tensors.pop("inputs.target")
    check_ids(path, "inputs.source", source, config.encoder.vocab_size)
    check_ids(path, "inputs.target", target, config.decoder.vocab_size)
    rows, (_, positions), (_, steps) = len(target), source.shape, target.shape
    wanted: dict[str, tuple[int, ...]] = {
        "outputs.logits": (rows, steps, config.decoder.vocab_size),
        "outputs.memory": (rows, positions, config.memory_size),
        "outputs.attention": (rows, steps, positions),
        "state.attentional": (rows, config.features_size),
        **{f"{prefix}{name}": (rows, *size) for name, size in sizes.items() for prefix in ("state.", "state.initial_")},
    }
    expected = check_shapes(path, tensors, {name: wanted[name] for name in tensors})
    manners = {"step by step": _decode_steps(network, source, target)}
    if not config.decoder.input_feed:
        manners["as a sequence"] = _decode_whole(network, source, target)
    return compare(path, expected, manners, allowance, source.numel() + target.numel())


def _decode_steps(network: EncoderDecoder, source: Tensor, target: Tensor) -> State:
    memory, state = network.encode(source)
    found = {"outputs.memory": memory.values, **_named(state, "state.initial_")}
    one_each, logits, weights = [1] * len(source), [], []
    for column in target.unbind(1):
        features, attended, state = network.step(column, state, memory, one_each)
        logits.append(network.logits(features))
        weights += [] if attended is None else [attended]
    attention = {"outputs.attention": torch.stack(weights, 1)} if weights else {}
    return {**found, "outputs.logits": torch.stack(logits, 1), **attention, **_named(state)}


def _decode_whole(network: EncoderDecoder, source: Tensor, target: Tensor) -> State:
    memory, first = network.encode(source)
    features, weights, state = network.sequence(target, first, memory)
    attention = {} if weights is None else {"outputs.attention": weights}
    found = {"outputs.memory": memory.values, "outputs.logits": network.logits(features), **attention}
    return {**found, **_named(first, "state.initial_"), **_named(state)}
