"""Questions about an ONNX graph: how its timesteps follow each other is no part of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from service.nets.onnx_graph.graph_config import BATCH, STATE_DTYPES
from service.nets.onnx_graph.graph_file import GraphTensor
from service.tooling.inspect.questions.question import Question, choices_of

_OVERLAP = "how many elements at the end of {name} the graph reads again, in front of the next one"
_OUTPUT = "which output is the next {name}: outputs are equal in shape, and no name tells it"
_INITIAL = "how {name} begins: as zeros, or as a tensor of initial.safetensors beside the graph"


def ask_graph(
    config: Mapping[str, Any], possible: Mapping[str, Sequence[str]], initial: Mapping[str, GraphTensor]
) -> tuple[Question, ...]:
    """Return the questions about a proposed config.json.

    `possible` has the outputs that may follow a state whose pair no name proves, `initial` the tensors beside the
    graph.
    """
    return (*_ask_overlaps(config["inputs"]), *_ask_states(config["state"], possible, initial))


def _ask_overlaps(inputs: Sequence[Mapping[str, Any]]) -> Iterator[Question]:
    for index, entry in enumerate(inputs):
        if _may_overlap(entry):
            yield Question(f"inputs.{index}.overlap", _OVERLAP.format(**entry), choices_of(0), further="N")


def _may_overlap(entry: Mapping[str, Any]) -> bool:
    """Return whether an input may stand behind the end of the one before it, along its last axis."""
    shape: list[int | str] = entry["shape"]
    if not shape or shape[-1] in {BATCH, 1} or entry["dtype"] not in STATE_DTYPES:
        return False
    return all(isinstance(axis, int) or axis == BATCH for axis in shape[:-1])


def _ask_states(
    states: Sequence[Mapping[str, Any]], possible: Mapping[str, Sequence[str]], initial: Mapping[str, GraphTensor]
) -> Iterator[Question]:
    for index, entry in enumerate(states):
        name, output = entry["input"], entry["output"]
        if name in possible:
            others = [other for other in possible[name] if other != output]
            further = "" if others else "..."
            choices = choices_of(output, *others)
            yield Question(f"state.{index}.output", _OUTPUT.format(name=name), choices, further=further)
        fitting = [key for key, tensor in initial.items() if _may_begin(entry, tensor)]
        choices = choices_of("zeros", *fitting)
        yield Question(f"state.{index}.initial", _INITIAL.format(name=name), choices, further="TENSOR")


def _may_begin(entry: Mapping[str, Any], tensor: GraphTensor) -> bool:
    """Return whether a tensor, with or without the axis of the batch, may be the first value of a state."""
    row = tuple(axis for axis in entry["shape"] if axis != BATCH)
    single = tuple(1 if axis == BATCH else axis for axis in entry["shape"])
    return tensor.dtype == entry["dtype"] and tensor.shape in {row, single}
