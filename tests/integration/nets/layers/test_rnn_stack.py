"""The cells and stacks against torch.nn, and step by step against the whole sequence."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from service.domain.operations import ComputeDtype
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
    shapes = {name: one.shape for name, one in RnnStack(layout).named_parameters()}
    return {name: torch.empty(shape).uniform_(-0.5, 0.5, generator=generator) for name, shape in shapes.items()}


def ready(layout: RnnSpec, weights: dict[str, Tensor] | None = None, arithmetic: ComputeDtype = "float32") -> RnnStack:
    """A stack that can run, with random weights unless told."""
    stack = RnnStack(layout)
    stack.load_state_dict(random_weights(layout) if weights is None else weights)
    stack.requires_grad_(False)
    pack_all(stack, arithmetic)
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
    given = tuple(torch.stack([state[name] for name in names if name[0] == kind]) for kind in kinds)
    output, last = run_quietly(module, x, given if len(given) > 1 else given[0])
    last = last if isinstance(last, tuple) else (last,)
    return output, {
        name: one
        for kind, tensor in zip(kinds, last, strict=True)
        for name, one in zip([name for name in names if name[0] == kind], tensor, strict=True)
    }


def assert_equal(found: tuple[Tensor, State], expected: tuple[Tensor, State]) -> None:
    passes = TIME * len({name.split("_", 1)[1] for name in expected[1]})
    assert_rounded(found[0], expected[0], TERMS, passes)
    assert found[1].keys() == expected[1].keys()
    for name, tensor in expected[1].items():
        assert_rounded(found[1][name], tensor, TERMS, passes, name)


PLAIN: list[tuple[str, dict[str, Any]]] = [
    *((cell, settings) for cell in CELLS for settings in ({}, {"bias": False})),
    ("lstm", {"proj_size": 4}),
    ("lstm", {"proj_size": 4, "bias": False}),
]


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(("cell", "settings"), PLAIN, ids=str)
def test_computes_what_torch_computes(cell: str, layers: int, settings: dict[str, Any]) -> None:
    module = torch_module(cell, layers, settings)
    stack = ready(RnnSpec(cell, INPUT, (HIDDEN,) * layers, **settings), module.state_dict())
    x, state = random_input(), random_state(stack)
    expected = torch_run(module, x, stack, state)
    assert_equal(stack.sequence(x, state), expected)
    assert_equal(run_steps(stack, x, state), expected)


@pytest.mark.parametrize("settings", [{}, {"bias": False}])
@pytest.mark.parametrize("cell", CELLS)
def test_reads_whole_sequences_in_both_directions(cell: str, settings: dict[str, Any]) -> None:
    module = torch_module(cell, 2, {"bidirectional": True, **settings})
    stack = ready(RnnSpec(cell, INPUT, (HIDDEN,) * 2, bidirectional=True, **settings), module.state_dict())
    x, state = random_input(), random_state(stack)
    assert_equal(stack.sequence(x, state), torch_run(module, x, stack, state))
    with pytest.raises(ValueError, match="whole sequences"):
        stack.step(x[:, 0], state)


def test_a_projection_works_in_both_directions() -> None:
    module = torch_module("lstm", 2, {"bidirectional": True, "proj_size": 3})
    stack = ready(RnnSpec("lstm", INPUT, (HIDDEN,) * 2, proj_size=3, bidirectional=True), module.state_dict())
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
    stack = ready(RnnSpec(cell, INPUT, **settings))
    x, state = random_input(), random_state(stack)
    assert_equal(run_steps(stack, x, state), stack.sequence(x, state))


def test_a_sequence_can_be_cut_anywhere() -> None:
    stack = ready(RnnSpec("gru", INPUT, (HIDDEN, HIDDEN)))
    x, state = random_input(), random_state(stack)
    first, between = stack.sequence(x[:, :2], state)
    second, after = stack.sequence(x[:, 2:], between)
    assert_equal((torch.cat([first, second], 1), after), stack.sequence(x, state))


@pytest.mark.parametrize("way", ["step", "sequence"])
@pytest.mark.parametrize("cell", CELLS)
def test_inputs_are_not_changed(cell: str, way: str) -> None:
    stack = ready(RnnSpec(cell, INPUT, (5, 5), layer_norm=True, connection="residual"))
    x, state = random_input(), random_state(stack)
    kept_x, kept = x.clone(), {name: one.clone() for name, one in state.items()}
    stack.step(x[:, 0], state) if way == "step" else stack.sequence(x, state)
    assert torch.equal(x, kept_x)
    assert list(state) == list(kept)
    assert all(torch.equal(state[name], kept[name]) for name in kept)


def test_nothing_is_remembered_between_calls() -> None:
    stack = ready(RnnSpec("lstm", INPUT, (HIDDEN,)))
    x = random_input()[:, 0]
    first = stack.step(x, stack.initial_state(BATCH))
    assert_equal(stack.step(x, stack.initial_state(BATCH)), first)


def test_the_residual_connection_adds_the_input_of_layers_of_equal_size() -> None:
    plain = ready(RnnSpec("gru", INPUT, (INPUT,)))
    residual = ready(RnnSpec("gru", INPUT, (INPUT,), connection="residual"))
    x, state = random_input(), random_state(plain)
    expected, after = plain.sequence(x, state)
    assert_equal(residual.sequence(x, state), (expected + x, after))


def test_an_open_highway_gate_gives_the_layer_and_a_closed_one_its_input() -> None:
    layout = RnnSpec("gru", INPUT, (INPUT,), connection="highway")
    weights = random_weights(layout)
    plain = ready(
        RnnSpec("gru", INPUT, (INPUT,)), {name: one for name, one in weights.items() if "highway" not in name}
    )
    x, state = random_input(), random_state(plain)
    opened, closed = (
        ready(layout, {**weights, "highway_l0.bias": torch.full((INPUT,), value)}) for value in (100.0, -100.0)
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
