"""Golden vectors of a sequence encoder.

The file holds `inputs.ids` (B, T) int64 for text or `inputs.values` (B, T, F) for numbers, in their own units with NaN
where missing; and the outputs of the last layer: `outputs.logits` of labels, `outputs.values` of numbers after their
activation and before `target_scale`, or `outputs.embedding`. They are (B, K), or (B, T, K) if the readout is `each`; of
two labels K may be 1, the logit of the second one of a network that has no other.
If the model reads windows, each output is that of the window that ends with its timestep, and there is no state.
Logits may be those behind a log-softmax. Tags that a CRF chose, `outputs.tags` (B, T) int64, and the recurrent state
after the last timestep are optional.
"""

from pathlib import Path

import torch
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.model_folder.golden.comparison import (
    Replay,
    Tolerance,
    check_names,
    check_shapes,
    compare,
    prefixed,
    unstack,
)
from service.model_folder.golden.padding import Tokens, padded_state
from service.model_folder.golden.sequence_inputs import input_name, read_inputs
from service.nets.config.sequence_encoder_config import SequenceEncoderConfig
from service.nets.layers.activations import make_activation
from service.nets.layers.rnn_stack import State
from service.nets.models.sequence_encoder import SequenceEncoder
from service.nets.models.window import push, unroll

#: The logarithm of the sum of probabilities is as close to 0.
LOGPROB_SUM = 1e-4


def replay_sequence_encoder(
    path: Path, tensors: dict[str, Tensor], network: SequenceEncoder, companions: object, tolerance: Tolerance
) -> Replay:
    """Replay as a sequence and, unless the network reads later timesteps, step by step. Raises ModelFolderError."""
    config = network.config
    inputs = read_inputs(path, _take_inputs(path, tensors, network), config, companions)
    chosen, name = tensors.pop("outputs.tags", None), _output_name(config)
    rows, times = inputs.shape[:2]
    sizes = {f"state.{spec.name}": (rows, *spec.shape) for spec in network.rnn.layout.recurrent_state()}
    single = _is_single_logit(config, tensors[name])
    each = (times,) if config.readout == "each" else ()
    sizes[name] = (rows, *each, 1 if single else config.outputs_size)
    expected = check_shapes(path, tensors, {own: sizes[own] for own in tensors})
    modes = _modes(network, inputs, name, companions)
    if single:
        modes = {mode: {**outputs, name: _difference(outputs[name])} for mode, outputs in modes.items()}
    elif _are_logprobs(config, expected[name]):
        modes = {mode: {**outputs, name: outputs[name].log_softmax(-1)} for mode, outputs in modes.items()}
    replay = compare(path, expected, modes, tolerance, rows * times)
    if chosen is not None:
        _check_tags(path, network, expected[name], chosen)
    return replay


def _modes(network: SequenceEncoder, inputs: Tensor, name: str, companions: object) -> dict[str, State]:
    """Return the outputs of each mode of computing."""
    if network.config.window_size is not None:
        return {"in windows": _windows(network, inputs, name, companions)}
    modes = {"as a sequence": _whole(network, inputs, name)}
    if not network.config.rnn_spec().reads_ahead:
        modes["step by step"] = _steps(network, inputs, name)
    return modes


def _windows(network: SequenceEncoder, inputs: Tensor, name: str, companions: object) -> State:
    """Return the answers (B, K) to the last windows of inputs (B, T, ...), or (B, T, K) to those of each timestep."""
    config, state = network.config, network.initial_state(len(inputs))
    if isinstance(companions, Tokens):
        state = padded_state(state, config.padding, companions)
    rows = inputs[..., None] if config.reads_text else inputs
    if config.readout == "each":
        flat = rows.flatten(0, 1)
        state = push(unroll(state, flat, [inputs.shape[1]] * len(inputs)), flat[:, None])
    else:
        state = push(state, rows)
    answers = network.answer(network.read_out(state, state["inputs"]))
    shaped = answers.view(*inputs.shape[:2], -1) if config.readout == "each" else answers
    return {name: _activated(network, shaped)}


def _take_inputs(path: Path, tensors: dict[str, Tensor], network: SequenceEncoder) -> Tensor:
    """Remove the inputs from `tensors` and return them. Raises ModelFolderError for a name that does not belong."""
    config, states = network.config, set[str]()
    if not config.rnn_spec().reads_backwards and config.window_size is None:
        unstack(path, tensors, config.total_layers)
        states = {f"state.{spec.name}" for spec in network.rnn.layout.recurrent_state()}
    name = input_name(config)
    tags = {"outputs.tags"} if network.crf is not None else set[str]()
    check_names(path, {*tensors}, {name, _output_name(config)}, frozenset(states | tags))
    return tensors.pop(name)


def _is_single_logit(config: SequenceEncoderConfig, outputs: Tensor) -> bool:
    """Return whether the outputs are one logit of two labels, which the network has both of."""
    return len(config.labels) == 2 and not config.multi_label and outputs.shape[-1:] == (1,)


def _are_logprobs(config: SequenceEncoderConfig, outputs: Tensor) -> bool:
    """Return whether the outputs are logits behind a log-softmax, which answers the same probabilities."""
    if not config.labels or config.multi_label or config.crf:
        return False
    return bool((outputs.double().logsumexp(-1).abs() < LOGPROB_SUM).all())


def _difference(logits: Tensor) -> Tensor:
    """Return the logit (..., 1) of the second of two labels relative to that of the first."""
    return logits[..., 1:] - logits[..., :1]


def _output_name(config: SequenceEncoderConfig) -> str:
    """Return the name of the tensor of outputs."""
    if not config.output_size:
        return "outputs.embedding"
    return "outputs.logits" if config.labels else "outputs.values"


def _whole(network: SequenceEncoder, inputs: Tensor, name: str) -> State:
    outputs, state = network.sequence(inputs)
    answers = [network.answer(network.read_out_sequence(own)) for own in outputs]
    return {name: _activated(network, _shaped(network, answers)), **prefixed(state)}


def _steps(network: SequenceEncoder, inputs: Tensor, name: str) -> State:
    state, answers = network.initial_state(len(inputs)), []
    for count, column in enumerate(inputs.unbind(1)):
        state = network.step(column, state, torch.full((len(inputs), 1), float(count)))
        answers.append(network.answer(network.read_out(state, torch.full((len(inputs), 1), count + 1.0))))
    answer = torch.stack(answers, 1) if network.config.readout == "each" else answers[-1]
    recurrent = {spec.name: state[spec.name] for spec in network.rnn.layout.recurrent_state()}
    return {name: _activated(network, answer), **prefixed(recurrent)}


def _shaped(network: SequenceEncoder, answers: list[Tensor]) -> Tensor:
    """Return the answers of all sequences, (B, T, K) or (B, K)."""
    return torch.stack(answers) if network.config.readout == "each" else torch.cat(answers)


def _activated(network: SequenceEncoder, answers: Tensor) -> Tensor:
    return make_activation(network.config.activation)(answers)


def _check_tags(path: Path, network: SequenceEncoder, logits: Tensor, expected: Tensor) -> None:
    """Raise ModelFolderError unless the CRF chooses the `expected` tags (B, T) for these logits (B, T, L)."""
    assert network.crf is not None  # noqa: S101 - the caller has asked
    if expected.shape != logits.shape[:2] or expected.dtype != torch.int64:
        found = f"{expected.dtype} of shape {[*expected.shape]}".removeprefix("torch.")
        raise ModelFolderError(f"{path}: outputs.tags: found {found}, expected int64 of shape {[*logits.shape[:2]]}")
    for row, own in enumerate(logits.double().numpy()):
        tags = network.crf.decode(own)
        for time, (tag, stated) in enumerate(zip(tags, expected[row].tolist(), strict=True)):
            if tag != stated:
                raise ModelFolderError(
                    f"{path}: outputs.tags: found {stated} at [{row}, {time}], where the CRF chooses {tag}: check its "
                    "transitions, from the row to the column, and those of the start and the end"
                )
