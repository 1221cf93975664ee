"""Cells and stacks compared with torch.nn, and single steps with whole sequences."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from service.nets.config.rnn_spec import RnnSpec, StateSpec
from service.nets.layers.packed_linear import pack_all
from service.nets.layers.rnn_stack import RnnStack, State
from tests.folders import run_quietly
from tests.rounding import assert_rounded

KINDS = {"rnn_tanh": nn.RNN, "rnn_relu": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
CELLS = list(KINDS)
BATCH, TIME, INPUT, HIDDEN = 3, 6, 5, 7
#: The longest sum of products: the input of the widest layer, its hidden state and two biases.
TERMS = 9 + 9 + 2


def random_weights(layout: RnnSpec) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = {name: parameter.shape for name, parameter in RnnStack(layout).named_parameters()}
    return {name: torch.empty(shape).uniform_(-0.5, 0.5, generator=generator) for name, shape in shapes.items()}


def packed_stack(layout: RnnSpec, weights: dict[str, Tensor] | None = None) -> RnnStack:
    """A stack that can run, with the given or random weights."""
    stack = RnnStack(layout)
    stack.load_state_dict(random_weights(layout) if weights is None else weights)
    stack.requires_grad_(False)
    pack_all(stack, "float32")
    return stack


def random_state(stack: RnnStack) -> State:
    generator = torch.Generator().manual_seed(2)
    return {spec.name: torch.randn(BATCH, *spec.shape, generator=generator) for spec in stack.specs}


def random_input(size: int = INPUT) -> Tensor:
    return torch.randn(BATCH, TIME, size, generator=torch.Generator().manual_seed(3))


def run_steps(stack: RnnStack, x: Tensor, state: State) -> tuple[Tensor, State]:
    outputs = []
    for column in x.unbind(1):
        output, state = stack.step(column, state)
        outputs.append(output)
    return torch.stack(outputs, 1), state


def torch_module(cell: str, layers: int, settings: dict[str, Any]) -> nn.RNNBase:
    extra = {"nonlinearity": cell.removeprefix("rnn_")} if cell.startswith("rnn") else {}
    torch.manual_seed(4)
    return KINDS[cell](INPUT, HIDDEN, layers, batch_first=True, **extra, **settings).requires_grad_(False)


def torch_run(module: nn.RNNBase, x: Tensor, stack: RnnStack, state: State) -> tuple[Tensor, State]:
    names = [spec.name for spec in stack.specs]
    kinds = ["h", "c"] if isinstance(module, nn.LSTM) else ["h"]
    states = tuple(torch.stack([state[name] for name in names if name[0] == kind]) for kind in kinds)
    output, last = run_quietly(module, x, states if len(states) > 1 else states[0])
    last = last if isinstance(last, tuple) else (last,)
    return output, {
        name: layer
        for kind, tensor in zip(kinds, last, strict=True)
        for name, layer in zip([name for name in names if name[0] == kind], tensor, strict=True)
    }


def assert_equal(actual: tuple[Tensor, State], expected: tuple[Tensor, State]) -> None:
    passes = TIME * len({name.split("_", 1)[1] for name in expected[1]})
    assert_rounded(actual[0], expected[0], TERMS, passes)
    assert actual[1].keys() == expected[1].keys()
    for name, tensor in expected[1].items():
        assert_rounded(actual[1][name], tensor, TERMS, passes, name)


PLAIN: list[tuple[str, dict[str, Any]]] = [
    *((cell, settings) for cell in CELLS for settings in ({}, {"bias": False})),
    ("lstm", {"proj_size": 4}),
    ("lstm", {"proj_size": 4, "bias": False}),
]


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(("cell", "settings"), PLAIN, ids=str)
def test_a_stack_computes_what_torch_computes(cell: str, layers: int, settings: dict[str, Any]) -> None:
    module = torch_module(cell, layers, settings)
    stack = packed_stack(RnnSpec(cell, INPUT, (HIDDEN,) * layers, **settings), module.state_dict())
    x, state = random_input(), random_state(stack)
    expected = torch_run(module, x, stack, state)
    assert_equal(stack.sequence(x, state), expected)
    assert_equal(run_steps(stack, x, state), expected)


@pytest.mark.parametrize("settings", [{}, {"bias": False}])
@pytest.mark.parametrize("cell", CELLS)
def test_a_bidirectional_stack_reads_whole_sequences(cell: str, settings: dict[str, Any]) -> None:
    module = torch_module(cell, 2, {"bidirectional": True, **settings})
    stack = packed_stack(RnnSpec(cell, INPUT, (HIDDEN,) * 2, bidirectional=True, **settings), module.state_dict())
    x, state = random_input(), random_state(stack)
    assert_equal(stack.sequence(x, state), torch_run(module, x, stack, state))


@pytest.mark.parametrize("cell", CELLS)
def test_a_bidirectional_stack_refuses_single_steps(cell: str) -> None:
    stack = packed_stack(RnnSpec(cell, INPUT, (HIDDEN,) * 2, bidirectional=True))
    with pytest.raises(ValueError, match="whole sequences"):
        stack.step(random_input()[:, 0], random_state(stack))


def test_a_projection_works_in_both_directions() -> None:
    module = torch_module("lstm", 2, {"bidirectional": True, "proj_size": 3})
    stack = packed_stack(RnnSpec("lstm", INPUT, (HIDDEN,) * 2, proj_size=3, bidirectional=True), module.state_dict())
    x, state = random_input(), random_state(stack)
    assert_equal(stack.sequence(x, state), torch_run(module, x, stack, state))


SETTINGS = [
    {"hidden_sizes": (4, 9, 6)},
    {"hidden_sizes": (5, 5, 8, 8), "connection": "residual"},
    {"hidden_sizes": (5, 5, 8, 8), "connection": "highway"},
    {"hidden_sizes": (7, 3), "layer_norm": True},
    {"hidden_sizes": (5, 5), "layer_norm": True, "connection": "residual", "bias": False},
    {"hidden_sizes": (5, 5), "layer_norm": True, "connection": "highway"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_steps_equal_the_whole_sequence(cell: str, settings: dict[str, Any]) -> None:
    stack = packed_stack(RnnSpec(cell, INPUT, **settings))
    x, state = random_input(), random_state(stack)
    assert_equal(run_steps(stack, x, state), stack.sequence(x, state))


def test_a_sequence_in_two_parts_equals_the_whole() -> None:
    stack = packed_stack(RnnSpec("gru", INPUT, (HIDDEN, HIDDEN)))
    x, state = random_input(), random_state(stack)
    first, between = stack.sequence(x[:, :2], state)
    second, after = stack.sequence(x[:, 2:], between)
    assert_equal((torch.cat([first, second], 1), after), stack.sequence(x, state))


@pytest.mark.parametrize("method", ["step", "sequence"])
@pytest.mark.parametrize("cell", CELLS)
def test_inputs_are_not_changed(cell: str, method: str) -> None:
    stack = packed_stack(RnnSpec(cell, INPUT, (5, 5), layer_norm=True, connection="residual"))
    x, state = random_input(), random_state(stack)
    copy, state_copy = x.clone(), {name: tensor.clone() for name, tensor in state.items()}
    stack.step(x[:, 0], state) if method == "step" else stack.sequence(x, state)
    assert torch.equal(x, copy)
    assert list(state) == list(state_copy)
    assert all(torch.equal(state[name], state_copy[name]) for name in state_copy)


def test_a_stack_keeps_no_state_between_calls() -> None:
    stack = packed_stack(RnnSpec("lstm", INPUT, (HIDDEN,)))
    x = random_input()[:, 0]
    first = stack.step(x, stack.initial_state(BATCH))
    assert_equal(stack.step(x, stack.initial_state(BATCH)), first)


def test_the_residual_connection_adds_the_input_of_layers_of_equal_size() -> None:
    plain = packed_stack(RnnSpec("gru", INPUT, (INPUT,)))
    residual = packed_stack(RnnSpec("gru", INPUT, (INPUT,), connection="residual"))
    x, state = random_input(), random_state(plain)
    expected, after = plain.sequence(x, state)
    assert_equal(residual.sequence(x, state), (expected + x, after))


def test_an_open_highway_gate_gives_the_layer_and_a_closed_one_its_input() -> None:
    layout = RnnSpec("gru", INPUT, (INPUT,), connection="highway")
    weights = random_weights(layout)
    plain = packed_stack(
        RnnSpec("gru", INPUT, (INPUT,)), {name: tensor for name, tensor in weights.items() if "highway" not in name}
    )
    x, state = random_input(), random_state(plain)
    opened, closed = (
        packed_stack(layout, {**weights, "highway_l0.bias": torch.full((INPUT,), value)}) for value in (100.0, -100.0)
    )
    assert_equal(opened.sequence(x, state), plain.sequence(x, state))
    assert_rounded(closed.sequence(x, state)[0], x, TERMS)


def test_specs_name_the_state_in_order() -> None:
    stack = RnnStack(RnnSpec("lstm", INPUT, (4, 6), proj_size=2))
    assert stack.specs == [
        StateSpec("h_l0", (2,), "float32"),
        StateSpec("c_l0", (4,), "float32"),
        StateSpec("h_l1", (2,), "float32"),
        StateSpec("c_l1", (6,), "float32"),
    ]
    both = RnnStack(RnnSpec("gru", INPUT, (4,), bidirectional=True))
    assert [spec.name for spec in both.specs] == ["h_l0", "h_l0_reverse"]


@pytest.mark.parametrize("settings", [{"bidirectional": True}, {"layer_norm": True, "connection": "highway"}], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_packed_sequences_of_different_lengths_equal_each_alone(cell: str, settings: dict[str, Any]) -> None:
    stack = packed_stack(RnnSpec(cell, INPUT, (5, 5), **settings))
    x, state, lengths = random_input(), random_state(stack), [6, 3, 3]
    rows = [(timestep, row) for timestep in range(TIME) for row in range(BATCH) if lengths[row] > timestep]
    packed = torch.stack([x[row, timestep] for timestep, row in rows])
    outputs, after = stack.packed_sequence(packed, [3, 3, 3, 1, 1, 1], state)
    for row, length in enumerate(lengths):
        own = outputs[[index for index, (_, other) in enumerate(rows) if other == row]]
        alone = stack.sequence(x[row : row + 1, :length], {name: part[row : row + 1] for name, part in state.items()})
        assert_equal((own[None], {name: part[row : row + 1] for name, part in after.items()}), alone)
