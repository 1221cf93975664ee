"""Fields of config.json that every ONNX graph has: the inputs, constants, outputs and state tensors of the graph.

A shape is a list of sizes and names. `batch` names the axis of the sessions that share a run, any other name an axis of
any size. All tensors that a session feeds, gets or keeps have the batch axis, or none of them has.
"""

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import AfterValidator, Field, PlainValidator

from service.nets.config.architecture_config import ArchitectureConfig, LayerSummary
from service.nets.config.rnn_spec import StateSpec
from service.nets.config.sections import Violation
from service.nets.config.strict_model import StrictModel

BATCH = "batch"
MAX_TENSORS = 256
MAX_AXES = 8
MAX_SIZE = 2**24
#: Elements of one tensor of a row, and bytes of a session's state.
MAX_ELEMENTS = 2**24
MAX_STATE_BYTES = 2**26
#: The file of an initial state that names no file.
INITIAL_FILE = "initial.safetensors"

TensorDType = Literal[
    "float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool"
]
#: Dtypes that a file of tensors can hold, and so a state that is exported.
StateDType = Literal["float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]
#: Bytes of an element.
ITEM_BYTES: dict[str, int] = {
    "float64": 8, "int64": 8, "uint64": 8, "float32": 4, "int32": 4, "uint32": 4, "float16": 2, "int16": 2, "uint16": 2,
    "int8": 1, "uint8": 1, "bool": 1,
}  # fmt: skip
STATE_DTYPES: tuple[str, ...] = get_args(StateDType)
Shape: TypeAlias = "tuple[int | str, ...]"


def _printable(name: str) -> str:
    if not name or any(unicodedata.category(character).startswith("C") for character in name):
        raise ValueError("a name of printable characters")
    return name


def _axes(value: object) -> Shape:
    axes = value if isinstance(value, list) else [None]
    if len(axes) > MAX_AXES or not all(_is_axis(axis) for axis in axes):
        raise ValueError(
            f"a list of at most {MAX_AXES} sizes from 1 to {MAX_SIZE} and names of axes, such as {BATCH!r}"
        )
    if axes.count(BATCH) > 1:
        raise ValueError(f"{BATCH!r} once at most")
    return tuple(axes)


def _is_axis(axis: object) -> bool:
    if isinstance(axis, str):
        return axis.isidentifier() and len(axis) <= 64
    return type(axis) is int and 1 <= axis <= MAX_SIZE


Name = Annotated[str, Field(max_length=256), AfterValidator(_printable)]
Axes = Annotated[Shape, PlainValidator(_axes)]
SafetensorsName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors$", max_length=200)]


class TensorField(StrictModel):
    """A tensor of a graph."""

    name: Name
    dtype: TensorDType = "float32"
    shape: Axes

    @cached_property
    def row(self) -> Shape:
        """The shape without the batch axis."""
        return row_of(self.shape)

    @cached_property
    def single(self) -> Shape:
        """The shape with a batch of one."""
        return tuple(1 if axis == BATCH else axis for axis in self.shape)

    @cached_property
    def short(self) -> "Shape | None":
        """The shape without the batch axis, or without a first axis of one; None if there is neither."""
        if BATCH in self.shape:
            return self.row
        return self.single[1:] if self.single[:1] == (1,) else None


class InputField(TensorField):
    """An input. The graph also reads the last `overlap` elements of the input before, in front on the last axis."""

    overlap: Annotated[int, Field(ge=0, le=MAX_SIZE)] = 0

    @property
    def tail(self) -> tuple[int, ...]:
        """The shape of the elements that a session keeps, without the batch."""
        return (*(axis for axis in self.row[:-1] if isinstance(axis, int)), self.overlap)


class InitialTensor(StrictModel):
    """A tensor of a safetensors file of the folder."""

    tensor: Name
    file: SafetensorsName = INITIAL_FILE


class StateField(StrictModel):
    """A tensor that a session keeps: what the graph returns as `output` is its `input` in the next timestep."""

    input: Name
    output: Name
    shape: Axes
    dtype: StateDType = "float32"
    initial: Literal["zeros"] | Name | InitialTensor = "zeros"

    @property
    def row(self) -> tuple[int, ...]:
        """The shape without the batch axis; all sizes are fixed."""
        return tuple(axis for axis in row_of(self.shape) if isinstance(axis, int))

    @property
    def source(self) -> InitialTensor | None:
        """The tensor of the initial state, None for zeros."""
        if isinstance(self.initial, InitialTensor):
            return self.initial
        return None if self.initial == "zeros" else InitialTensor(tensor=self.initial)


@dataclass(frozen=True, slots=True)
class GraphSummary:
    """The entries of a graph in model lists: as many layers as state tensors, as wide as the first of them."""

    total_layers: int
    hidden_size: int
    cell: str = "onnx"


class GraphConfig(ArchitectureConfig):
    """The fields of an ONNX graph with declared state. Subclasses declare `task` as a literal."""

    architecture: Literal["onnx"]
    dtype: Literal["float32"] = "float32"
    inputs: Annotated[list[InputField], Field(min_length=1, max_length=MAX_TENSORS)]
    constants: Annotated[dict[Name, Any], Field(max_length=MAX_TENSORS)] = Field(default={})
    outputs: Annotated[list[TensorField], Field(min_length=1, max_length=MAX_TENSORS)]
    state: Annotated[list[StateField], Field(max_length=MAX_TENSORS)] = Field(default=[])  # type: ignore[assignment]

    @cached_property
    def output_names(self) -> tuple[str, ...]:
        """The names of the outputs."""
        return tuple(entry.name for entry in self.outputs)

    @cached_property
    def free_axes(self) -> tuple[str, ...]:
        """The names of the axes of any size of the inputs, without the batch."""
        return tuple(axis for entry in self.inputs for axis in free_axes(entry.shape))

    @cached_property
    def batched(self) -> bool:
        """Whether sessions share a run."""
        return BATCH in self.inputs[0].shape

    @property
    def initial_files(self) -> tuple[str, ...]:
        """The files of initial states."""
        return tuple(dict.fromkeys(entry.source.file for entry in self.state if entry.source is not None))

    @property
    def companion_files(self) -> tuple[str, ...]:
        """The files that decide how inputs are read and where a session starts; they belong to the fingerprint."""
        return self.initial_files

    @property
    def session_layers(self) -> LayerSummary:
        """A summary of the state tensors."""
        first = self.state[0].row if self.state else ()
        return GraphSummary(len(self.state), first[-1] if first else 0)

    def graph_state(self) -> list[StateSpec]:
        """Return the state tensors under the names of their inputs, and the ends of the inputs that overlap."""
        overlaps = [
            StateSpec(f"overlap.{entry.name}", entry.tail, entry.dtype) for entry in self.inputs if entry.overlap
        ]
        return [*(StateSpec(entry.input, entry.row, entry.dtype) for entry in self.state), *overlaps]

    def session_state(self) -> list[StateSpec]:
        """Return the tensors that a session stores, those of the graph."""
        return self.graph_state()

    def state_violation(self) -> Violation | None:
        """Return None: the state follows from no other field."""
        return None

    def violations(self) -> Iterator[Violation]:
        """Yield the fields that are valid on their own but contradict each other."""
        yield from self._repeated_names()
        yield from self._batch_violations()
        for place, shape in (*_shapes("inputs", self.inputs), *_shapes("outputs", self.outputs)):
            yield from _size_violation(place, row_of(shape))
        for index, entry in enumerate(self.inputs):
            yield from _overlap_violations(f"inputs.{index}", entry)
        yield from self._state_violations()

    def _repeated_names(self) -> Iterator[Violation]:
        """Yield the names of inputs and of outputs of the graph that stand twice."""
        inputs = [*(entry.name for entry in self.inputs), *self.constants, *(entry.input for entry in self.state)]
        outputs = [*(entry.name for entry in self.outputs), *(entry.output for entry in self.state)]
        for place, names in (("inputs, constants and state", inputs), ("outputs and state", outputs)):
            for name in _repeated(names):
                yield place, f"{name} twice", "each tensor of the graph once"
        for name in _repeated(spec.name for spec in self.session_state()):
            yield "state", f"{name} twice", "names that differ from those of overlaps"

    def _batch_violations(self) -> Iterator[Violation]:
        """Yield the tensors that have a batch axis although the first input has none, or the other way round."""
        states = [(f"state.{index}.shape", entry.shape) for index, entry in enumerate(self.state)]
        for place, shape in (*_shapes("inputs", self.inputs), *_shapes("outputs", self.outputs), *states):
            if (BATCH in shape) == self.batched:
                continue
            has = f"{BATCH!r} on one axis, as the first input has it" if self.batched else f"no {BATCH!r}, as the first"
            yield place, list(shape), has if self.batched else f"{has} input has none"

    def _state_violations(self) -> Iterator[Violation]:
        total = 0
        for index, entry in enumerate(self.state):
            free = [axis for axis in entry.shape if isinstance(axis, str) and axis != BATCH]
            if free:
                expected = f"fixed sizes and perhaps {BATCH!r}: a session stores a state of one size"
                yield f"state.{index}.shape", list(entry.shape), expected
            total += ITEM_BYTES[entry.dtype] * math.prod(entry.row)
        total += sum(ITEM_BYTES[entry.dtype] * math.prod(entry.tail) for entry in self.inputs if entry.overlap)
        if total > MAX_STATE_BYTES:
            yield "state", f"{total} bytes", f"at most {MAX_STATE_BYTES} for a session"


def row_of(shape: Shape) -> Shape:
    """Return a shape without its batch axis."""
    return tuple(axis for axis in shape if axis != BATCH)


def batch_axis(shape: Shape) -> int | None:
    """Return the index of the batch axis, None if there is none."""
    return shape.index(BATCH) if BATCH in shape else None


def free_axes(shape: Shape) -> list[str]:
    """Return the names of the axes of any size, without the batch."""
    return [axis for axis in shape if isinstance(axis, str) and axis != BATCH]


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _shapes(field: str, entries: Sequence[TensorField]) -> list[tuple[str, Shape]]:
    return [(f"{field}.{index}.shape", entry.shape) for index, entry in enumerate(entries)]


def _size_violation(place: str, row: Shape) -> Iterator[Violation]:
    size = math.prod(axis for axis in row if isinstance(axis, int))
    if size > MAX_ELEMENTS:
        yield place, list(row), f"at most {MAX_ELEMENTS} elements"


def _overlap_violations(place: str, entry: InputField) -> Iterator[Violation]:
    if not entry.overlap:
        return
    if not entry.row or entry.shape[-1] == BATCH:
        yield f"{place}.overlap", entry.overlap, "0, or a last axis that is not the batch, along which inputs overlap"
    elif entry.dtype not in STATE_DTYPES:
        yield f"{place}.overlap", entry.overlap, f"0, or one of the dtypes {', '.join(STATE_DTYPES)}"
    elif free_axes(entry.row[:-1]):
        expected = "0, or fixed sizes of all axes but the last: a session stores the overlap"
        yield f"{place}.overlap", entry.overlap, expected
