"""Cells, initial states, stacks and convolutions of other libraries, against their equations written out in torch."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from service.domain.operations import ComputeDtype
from service.nets.config.cell_options import CellOptions
from service.nets.config.convolution import ConvolutionConfig
from service.nets.config.feed_forward import FeedForwardConfig
from service.nets.config.rnn_spec import RnnSpec
from service.nets.layers.packed_linear import pack_all
from service.nets.layers.rnn_stack import RnnStack, State
from tests.folders import ACTIVATIONS
from tests.integration.nets.layers.test_rnn_stack import packed_stack, random_weights, run_steps

INPUT, HIDDEN, BATCH, TIME = 5, 7, 3, 6
GATES = ["hard_sigmoid", "hard_sigmoid_legacy", "softsign", "linear", "tanh", "relu", None]


def dense(**fields: Any) -> FeedForwardConfig:
    return FeedForwardConfig.model_validate(fields)


def convolution(**fields: Any) -> ConvolutionConfig:
    return ConvolutionConfig.model_validate(fields)


def random_input(time: int = TIME) -> Tensor:
    return torch.randn(BATCH, time, INPUT, generator=torch.Generator().manual_seed(3))


def run_cell(cell: str, options: CellOptions, weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """Return the outputs (B, T, H) of one layer from the zero state, gate by gate."""
    h = c = torch.zeros(len(x), HIDDEN)
    act = ACTIVATIONS[options.activation or ("relu" if cell == "rnn_relu" else "tanh")]
    gate = ACTIVATIONS[options.gate_activation or "sigmoid"]
    w, u, b = weights["weight_ih_l0"], weights["weight_hh_l0"], weights["bias_ih_l0"]
    d = weights.get("bias_hh_l0", torch.zeros_like(b))
    outputs = []
    for row in x.unbind(1):
        inputs, hidden = row @ w.T + b, h @ u.T + d
        if cell == "lstm":
            i, f, g, o = (inputs + hidden).chunk(4, 1)
            c = gate(f) * c + gate(i) * act(g)
            h = gate(o) * act(c)
        elif cell == "gru":
            (r, z, n), (hr, hz, hn) = inputs.chunk(3, 1), hidden.chunk(3, 1)
            reset, update = gate(r + hr), gate(z + hz)
            if options.reset == "before":
                hn, reset = (reset * h) @ u[2 * HIDDEN :].T + d[2 * HIDDEN :], torch.ones_like(reset)
            h = (1 - update) * act(n + reset * hn) + update * h
        else:
            h = act(inputs + hidden)
        outputs.append(h)
    return torch.stack(outputs, 1)


CELLS = [
    *(("lstm", {"gate_activation": gate, "activation": "relu"}) for gate in GATES),
    *(("gru", {"gate_activation": gate, "reset": reset}) for gate in GATES for reset in ("before", "after")),
    *((cell, {"bias": "single"}) for cell in ("rnn_tanh", "rnn_relu", "lstm", "gru")),
    ("gru", {"bias": "single", "reset": "before", "activation": "softsign"}),
    ("lstm", {"activation": "elu"}),
    ("rnn_tanh", {"activation": "linear"}),
    ("rnn_relu", {"activation": "sigmoid"}),
]


@pytest.mark.parametrize(("cell", "options"), CELLS, ids=str)
@torch.inference_mode()
def test_a_cell_with_options_computes_its_equations(cell: Any, options: dict[str, Any]) -> None:
    spec = RnnSpec(cell, INPUT, (HIDDEN,), options=CellOptions.model_validate(options))
    weights, x = random_weights(spec), random_input()
    stack = packed_stack(spec, weights)
    expected = run_cell(cell, spec.options, weights, x)
    steps, state = run_steps(stack, x, stack.initial_state(BATCH))
    whole, after = stack.sequence(x, stack.initial_state(BATCH))
    torch.testing.assert_close(steps, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(whole, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(state, after, rtol=1e-5, atol=1e-5)


def as_dtype(spec: RnnSpec, dtype: ComputeDtype) -> RnnStack:
    stack = RnnStack(spec)
    stack.load_state_dict(random_weights(spec))
    stack.requires_grad_(False)
    pack_all(stack, dtype)
    return stack


VARIANTS = [
    RnnSpec("gru", INPUT, (HIDDEN,), options=CellOptions(reset="before", gate_activation="hard_sigmoid")),
    RnnSpec("lstm", INPUT, (HIDDEN,), options=CellOptions(activation="relu", bias="single")),
    RnnSpec("lstm", INPUT, (HIDDEN,), learned_state=True),
    RnnSpec("gru", 4, (HIDDEN,), convolution=(convolution(channels=4, kernel=3, padding="valid"),), reads=INPUT),
    RnnSpec(
        "lstm",
        6,
        (HIDDEN,),
        input_layers=(dense(size=6, activation="relu"),),
        reads=INPUT,
        further=(RnnSpec("rnn_tanh", 4, (5, 3), input_layers=(dense(size=4), dense(activation="silu"))),),
    ),
]


@pytest.mark.parametrize("spec", VARIANTS, ids=str)
@torch.inference_mode()
def test_int8_answers_are_the_same_alone_and_in_a_batch(spec: RnnSpec) -> None:
    stack, x = as_dtype(spec, "int8"), random_input()
    together, _ = run_steps(stack, x, stack.initial_state(BATCH))
    alone = [run_steps(stack, row[None], stack.initial_state(1))[0] for row in x]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize("spec", VARIANTS, ids=str)
@torch.inference_mode()
def test_bfloat16_stays_near_float32(spec: RnnSpec) -> None:
    reduced, exact, x = as_dtype(spec, "bfloat16"), as_dtype(spec, "float32"), random_input()
    outputs = [run_steps(stack, x, stack.initial_state(BATCH))[0] for stack in (reduced, exact)]
    torch.testing.assert_close(*outputs, rtol=0.1, atol=0.05)


@pytest.mark.parametrize("spec", VARIANTS, ids=str)
@torch.inference_mode()
def test_a_sequence_in_pieces_gives_what_it_gives_at_once(spec: RnnSpec) -> None:
    stack, x = packed_stack(spec), random_input()
    expected, final = stack.sequence(x, stack.initial_state(BATCH))
    for cuts in ([1, 1, 4], [2, 4], [5, 1], [1] * TIME):
        state, outputs = stack.initial_state(BATCH), []
        for piece in torch.split(x, cuts, 1):
            output, state = stack.sequence(piece, state)
            outputs.append(output)
        torch.testing.assert_close(torch.cat(outputs, 1), expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(state, final, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@torch.inference_mode()
def test_a_learned_state_is_that_before_the_first_timestep(cell: Any) -> None:
    module = (nn.LSTM if cell == "lstm" else nn.GRU)(INPUT, HIDDEN, 2, batch_first=True, bidirectional=True)
    spec = RnnSpec(cell, INPUT, (HIDDEN, HIDDEN), bidirectional=True, learned_state=True)
    initial = {kind: torch.randn(4, HIDDEN) for kind in ("h", "c")[: 2 if cell == "lstm" else 1]}
    places = ["l0", "l0_reverse", "l1", "l1_reverse"]
    learned = {f"{k}0_{place}": row for k, rows in initial.items() for place, row in zip(places, rows, strict=True)}
    stack = packed_stack(spec, {**module.state_dict(), **learned})
    given = [rows[:, None].repeat(1, BATCH, 1) for rows in initial.values()]
    expected, _ = module(random_input(), tuple(given) if cell == "lstm" else given[0])
    found, _ = stack.sequence(random_input(), stack.initial_state(BATCH))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_stacks_run_one_behind_the_other_with_layers_between() -> None:
    first, second = nn.LSTM(INPUT, 8, 2, batch_first=True), nn.GRU(4, 3, batch_first=True)
    between = nn.Linear(8, 4)
    further = RnnSpec("gru", 4, (3,), input_layers=(dense(activation="relu"), dense(size=4, activation="tanh")))
    names = {name.replace("l0", "l2"): tensor for name, tensor in second.state_dict().items()}
    inner = {f"before_l2.1.{name}": tensor for name, tensor in between.state_dict().items()}
    stack = packed_stack(RnnSpec("lstm", INPUT, (8, 8), further=(further,)), {**first.state_dict(), **names, **inner})
    x = random_input()
    expected, last = second(between(first(x)[0].relu()).tanh())
    found, state = run_steps(stack, x, stack.initial_state(BATCH))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(state["h_l2"], last[0], rtol=1e-5, atol=1e-5)


CONVOLUTIONS: list[list[dict[str, Any]]] = [
    [{"channels": 4, "kernel": 3, "padding": "valid", "activation": "relu"}],
    [{"channels": 4, "kernel": 3, "padding": "causal", "dilation": 2, "bias": False}],
    [{"channels": 4, "kernel": 1, "padding": "causal", "activation": "tanh"}],
    [{"channels": 4, "kernel": 2, "padding": "valid"}, {"channels": 6, "kernel": 3, "padding": "valid"}],
    [{"channels": 4, "kernel": 2, "padding": "valid"}, {"channels": 6, "kernel": 3, "padding": "causal"}],
    [{"channels": 4, "kernel": 3, "padding": "causal", "batch_norm": True, "activation": "relu"}],
]


def run_convolutions(layers: list[ConvolutionConfig], weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """Return the output (B, T - first timesteps, O) of the convolutions."""
    x = x.transpose(1, 2)
    for index, layer in enumerate(layers):
        own = {name.removeprefix(f"convolution.{index}."): tensor for name, tensor in weights.items()}
        if layer.padding == "causal":
            x = F.pad(x, (layer.history, 0))
        x = F.conv1d(x, own["weight"], own.get("bias"), dilation=layer.dilation)
        if layer.batch_norm:
            names = ("running_mean", "running_var", "weight", "bias")
            x = F.batch_norm(x, *(own[f"norm.{name}"] for name in names), eps=layer.eps)
        x = ACTIVATIONS[layer.activation](x)
    return x.transpose(1, 2)


@pytest.mark.parametrize("fields", CONVOLUTIONS, ids=str)
@torch.inference_mode()
def test_a_convolution_keeps_the_inputs_that_it_reads_again(fields: list[dict[str, Any]]) -> None:
    layers = [convolution(**entry) for entry in fields]
    spec = RnnSpec("gru", layers[-1].channels, (HIDDEN,), convolution=tuple(layers), reads=INPUT)
    weights, x = random_weights(spec), random_input(9)
    weights = {name: tensor.abs() + 0.1 if "running_var" in name else tensor for name, tensor in weights.items()}
    module = nn.GRU(layers[-1].channels, HIDDEN, batch_first=True)
    module.load_state_dict({name: tensor for name, tensor in weights.items() if "convolution" not in name})
    expected, last = module(run_convolutions(layers, weights, x))
    stack = packed_stack(spec, weights)
    found, state = run_steps(stack, x, stack.initial_state(BATCH))
    whole, after = stack.sequence(x, stack.initial_state(BATCH))
    torch.testing.assert_close(found[:, spec.warmup :], expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(whole[:, spec.warmup :], expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(state["h_l0"], last[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(state, after, rtol=1e-5, atol=1e-5)
    assert {spec.name: spec.shape for spec in stack.specs if "convolution" in spec.name} == {
        f"convolution_{index}": (layer.history, width)
        for index, (layer, width) in enumerate(zip(layers, [INPUT, layers[0].channels], strict=False))
        if layer.history
    }


@torch.inference_mode()
def test_sequences_of_different_lengths_keep_their_own_inputs() -> None:
    spec = VARIANTS[3]
    stack, x = packed_stack(spec), random_input()
    lengths = [6, 4, 1]
    counts = [sum(length > time for length in lengths) for time in range(6)]
    packed = torch.cat([x[:count, time] for time, count in enumerate(counts)])
    _, together = stack.packed_sequence(packed, counts, stack.initial_state(BATCH))
    for index, length in enumerate(lengths):
        own: State = stack.sequence(x[index : index + 1, :length], stack.initial_state(1))[1]
        for name, tensor in own.items():
            torch.testing.assert_close(together[name][index], tensor[0], rtol=1e-5, atol=1e-5)
