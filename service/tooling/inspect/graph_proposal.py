"""The config.json that is proposed for an ONNX graph.

A state is recognised by the configuration of Triton beside the graph, else by names, such as `h` and `h_out` or `state`
and `stateN`, and else by equal shapes, which prove nothing: such a pair is asked for.
"""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from service.nets.onnx_graph.graph_config import BATCH
from service.nets.onnx_graph.graph_file import GraphFile, GraphTensor
from service.tooling.inspect.questions.onnx_graph import ask_graph
from service.tooling.inspect.questions.question import Question
from service.tooling.triton.config import TritonConfig
from service.tooling.triton.mapping import TritonMapping

#: What graphs append to, or put in front of, the name of a state for its next value.
_APPENDED = ("N", "n", "_n", "_out", "_next", "_new", ".1", "_o", "Out", "Next")
_PREPENDED = ("next_", "new_", "out_", "output_", "o_")
_REPLACED = (("_in", "_out"), ("in_", "out_"), ("input", "output"), ("past", "present"), ("0", "n"), ("prev", "next"))


@dataclass(frozen=True, slots=True)
class GraphProposal:
    """The fields of config.json, the constants without a value, what is asked, and what was read beside the graph.

    `initial` has the files of initial states by the names of these, for initial.safetensors.
    """

    config: dict[str, Any]
    guessed: tuple[str, ...]
    questions: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()
    initial: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The output of each input that is a state, and the outputs that are possible where only shapes tell it."""

    outputs: dict[str, str]
    possible: dict[str, list[str]] = field(default_factory=dict)

    def as_stated(self, settings: Mapping[str, object]) -> "_Pairs":
        """Return the pairs with the outputs that settings name; one that another state had is exchanged."""
        outputs = dict(self.outputs)
        for index, name in enumerate(self.outputs):
            stated = settings.get(f"state.{index}.output")
            if not isinstance(stated, str) or stated not in self.possible.get(name, ()):
                continue
            other = next((other for other, output in outputs.items() if output == stated), name)
            outputs[other], outputs[name] = outputs[name], stated
        return replace(self, outputs=outputs)


def propose_graph(
    graph: GraphFile,
    triton: TritonConfig | None = None,
    *,
    settings: Mapping[str, object] | None = None,
    initial: Mapping[str, GraphTensor] | None = None,
) -> GraphProposal:
    """Return the proposal for a graph, with the pairs of states that `settings` state.

    `initial` has the tensors that lie beside the graph for initial states. A configuration of Triton that pairs the
    states also says how they begin, and that inputs are fed as they are sent, so nothing of it is asked. Raises
    ModelFolderError for a configuration that does not fit the graph.
    """
    if triton is None:
        return _ask(graph, {}, settings or {}, initial or {})
    mapping = TritonMapping(triton, graph)
    sized = mapping.sized(graph)
    if mapping.pairs:
        proposal = _propose(sized, mapping.pairs, mapping.constants)
    else:
        proposal = _ask(sized, mapping.constants, settings or {}, initial or {})
    mapping.complete(proposal.config)
    return replace(proposal, notes=mapping.notes, initial=mapping.initial_files)


def _ask(
    graph: GraphFile,
    values: Mapping[str, Any],
    settings: Mapping[str, object],
    initial: Mapping[str, GraphTensor],
) -> GraphProposal:
    """Return the proposal, with its questions, for a graph whose states nothing pairs."""
    pairs = _pair_states(graph).as_stated(settings)
    proposal = _propose(graph, pairs.outputs, values)
    return replace(proposal, questions=ask_graph(proposal.config, pairs.possible, initial))


def _propose(graph: GraphFile, pairs: Mapping[str, str], values: Mapping[str, Any]) -> GraphProposal:
    """Return the proposal for a graph with these pairs of states, and constants of these values, None if unknown."""
    states = [graph.inputs[name] for name in pairs]
    rest = [tensor for name, tensor in graph.inputs.items() if name not in pairs]
    inputs, constants = _split_inputs(rest, values)
    outputs = [tensor for name, tensor in graph.outputs.items() if name not in pairs.values()]
    batch = _find_batch_axis(inputs, states)
    config: dict[str, Any] = {
        "format_version": 1,
        "task": "tensor",
        "architecture": "onnx",
        "inputs": [_entry(tensor, batch) for tensor in inputs],
        "constants": {tensor.name: values.get(tensor.name) for tensor in constants},
        "outputs": [_entry(tensor, batch) for tensor in outputs],
        "state": [_state_entry(tensor, pairs[tensor.name], batch) for tensor in states],
    }
    unknown = [tensor.name for tensor in constants if values.get(tensor.name) is None]
    return GraphProposal(config, tuple(f"constants.{name}" for name in unknown))


def _split_inputs(tensors: list[GraphTensor], known: Container[str]) -> tuple[list[GraphTensor], list[GraphTensor]]:
    """Return the inputs of a timestep and the constants: those that are known, and numbers beside another input."""
    several = len(tensors) > 1
    constants = [tensor for tensor in tensors if tensor.name in known or (several and tensor.shape == ())]
    return [tensor for tensor in tensors if tensor not in constants], constants


def _pair_states(graph: GraphFile) -> _Pairs:
    """Return the output of each input that is a state: first by names, then by equal shapes."""
    pairs: dict[str, str] = {}
    outputs = dict(graph.outputs)
    for name, tensor in graph.inputs.items():
        if (output := _output_of_name(tensor, outputs)) is not None:
            pairs[name] = output
            del outputs[output]
    unpaired = [tensor for name, tensor in graph.inputs.items() if name not in pairs]
    unproven = dict(outputs)
    possible: dict[str, list[str]] = {}
    for tensor in unpaired[1:]:  # the first one is an input of the network
        if (output := _output_of_shape(tensor, outputs)) is not None:
            pairs[tensor.name] = output
            possible[tensor.name] = [name for name, other in unproven.items() if _equal(tensor, other)]
            del outputs[output]
    return _Pairs(pairs, possible)


def _output_of_name(state: GraphTensor, outputs: Mapping[str, GraphTensor]) -> str | None:
    """Return the output whose name is the state's with what graphs add to it, if its shape fits."""
    name = next((name for name in _next_names(state.name) if name in outputs), state.name)
    return name if name != state.name and _same(state, outputs[name]) else None


def _output_of_shape(state: GraphTensor, outputs: Mapping[str, GraphTensor]) -> str | None:
    """Return the first output of the state's shape, if another one remains as the output of the network."""
    if not state.shape or len(outputs) < 2:
        return None
    return next((name for name, tensor in outputs.items() if _equal(state, tensor)), None)


def _equal(state: GraphTensor, following: GraphTensor) -> bool:
    return state.shape == following.shape and state.dtype == following.dtype


def _next_names(name: str) -> Iterator[str]:
    yield from (f"{name}{suffix}" for suffix in _APPENDED)
    yield from (f"{prefix}{name}" for prefix in _PREPENDED)
    yield from (name.replace(old, new) for old, new in _REPLACED if old in name)


def _same(state: GraphTensor, following: GraphTensor) -> bool:
    """Return whether an output may be the next value of a state, as far as their shapes are known."""
    shape = state.shape or ()
    if state.dtype != following.dtype or not any(isinstance(axis, int) for axis in shape):
        return False
    if following.shape is None:
        return True
    return len(shape) == len(following.shape) and all(
        size == other or not isinstance(size, int) or not isinstance(other, int)
        for size, other in zip(shape, following.shape, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _BatchAxis:
    """The axis of independent inputs, by the name that the graph gives it, if any."""

    name: str | None

    def index_in(self, shape: tuple[int | str | None, ...]) -> int | None:
        """Return the axis of this name, else the first one if it may have any size."""
        if self.name is not None and self.name in shape:
            return shape.index(self.name)
        return 0 if shape and not isinstance(shape[0], int) else None


def _find_batch_axis(inputs: list[GraphTensor], states: list[GraphTensor]) -> _BatchAxis | None:
    """Return the first axis of the first input, if it and one axis of each state may have any size."""
    shape = inputs[0].shape if inputs else None
    if not shape or isinstance(shape[0], int) or not all(_has_one_free_axis(state) for state in states):
        return None
    return _BatchAxis(shape[0])


def _has_one_free_axis(state: GraphTensor) -> bool:
    return sum(not isinstance(axis, int) for axis in state.shape or ()) == 1


def _entry(tensor: GraphTensor, batch: _BatchAxis | None) -> dict[str, Any]:
    """Return the entry of an input or output in config.json."""
    shape = tensor.shape or ()
    axes = [axis if isinstance(axis, int) else _axis_name(axis, index) for index, axis in enumerate(shape)]
    if batch is not None and (index := batch.index_in(shape)) is not None:
        axes[index] = BATCH
    return {"name": tensor.name, "dtype": tensor.dtype, "shape": axes}


def _axis_name(axis: str | None, index: int) -> str:
    return axis if axis is not None and axis.isidentifier() and axis != BATCH else f"axis{index}"


def _state_entry(tensor: GraphTensor, output: str, batch: _BatchAxis | None) -> dict[str, Any]:
    """Return the entry of a state, whose one free axis is the batch; without a batch, free axes have the size 1."""
    free = 1 if batch is None else BATCH
    shape = [axis if isinstance(axis, int) else free for axis in tensor.shape or ()]
    return {"input": tensor.name, "output": output, "shape": shape, "dtype": tensor.dtype, "initial": "zeros"}
