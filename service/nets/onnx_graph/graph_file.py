"""Bounded reading of an ONNX file: its inputs, outputs and operators, before ONNX Runtime parses it.

External data are refused, and operators of domains that ONNX Runtime does not have, operators that draw random numbers,
names with control characters, and whatever is nested or repeated beyond any exported network.
"""

import math
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from service.nets.onnx_graph.protobuf import MessageError, read_fields, read_integers, read_messages, signed

#: Protocol buffers cannot be larger.
MAX_FILE_BYTES: Final = 2**31 - 1
MAX_NODES: Final = 200_000
MAX_DEPTH: Final = 16
MAX_NAME_BYTES: Final = 512
MIN_OPSET: Final = 7
#: Domains of operators that ONNX Runtime has. A graph may also bring functions made of these.
DOMAINS: Final = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
RANDOM: Final = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
#: numpy's names of the types of elements, by their number.
DTYPES: Final = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
}  # fmt: skip


class GraphError(ValueError):
    """Raised for a file that is not served; the message has what was found and what was expected."""


@dataclass(frozen=True, slots=True)
class GraphTensor:
    """Type of an input or output. In `shape`, a text is an axis of any size and None one without a name.

    The shape is None if the file does not state it.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None

    def render(self) -> str:
        """Return dtype and shape as messages show them."""
        axes = "any shape" if self.shape is None else str(["?" if axis is None else axis for axis in self.shape])
        return f"{self.dtype} {axes}"


@dataclass(slots=True)
class GraphFile:
    """The content of a file. `inputs` are those without a value of their own."""

    inputs: dict[str, GraphTensor] = field(default_factory=dict)
    outputs: dict[str, GraphTensor] = field(default_factory=dict)
    parameters: int = 0
    operators: set[tuple[str, str]] = field(default_factory=set)
    opsets: dict[str, int] = field(default_factory=dict)


def read_graph(content: bytes) -> GraphFile:
    """Return what a file holds. Raises GraphError."""
    try:
        return _Reader().read(memoryview(content))
    except MessageError as error:
        raise GraphError(f"found no ONNX graph ({error}), expected a complete file") from error


class _Reader:
    def __init__(self) -> None:
        self._file = GraphFile()
        self._functions: set[str] = set()
        self._nodes = 0

    def read(self, model: memoryview) -> GraphFile:
        graph: memoryview | None = None
        functions: list[memoryview] = []
        for number, value in read_messages(model):
            if number == 7:
                if graph is not None:
                    raise MessageError("two graphs")
                graph = value
            elif number == 8:
                self._read_opset(value)
            elif number == 25:
                functions.append(value)
        if graph is None or not self._file.opsets:
            raise GraphError("found no ONNX graph, expected one with its opsets")
        for function in functions:
            self._read_function(function)
        self._read_interface(graph, weights=self._read_graph(graph, 0))
        self._check_operators()
        return self._file

    def _read_opset(self, message: memoryview) -> None:
        domain, version = "", 0
        for number, value in read_fields(message):
            if number == 1:
                domain = read_text("the domain of an opset", value)
            elif number == 2 and isinstance(value, int):
                version = signed(value)
        self._file.opsets[domain] = version

    def _read_function(self, message: memoryview) -> None:
        """Read the nodes of a function that the file brings along."""
        for number, value in read_fields(message):
            if number == 10:
                self._functions.add(read_text("the domain of a function", value))
            elif number == 7 and isinstance(value, memoryview):
                self._read_node(value, 1)

    def _read_graph(self, message: memoryview, depth: int) -> set[str]:
        """Read the nodes and weights of a graph, and return the names of its weights."""
        if depth > MAX_DEPTH:
            raise GraphError(f"found graphs nested more than {MAX_DEPTH} deep, expected fewer")
        weights: set[str] = set()
        for number, value in read_messages(message):
            if number == 1:
                self._read_node(value, depth)
            elif number == 5:
                weights.add(self._read_initializer(value))
            elif number == 15:
                weights.add(self._read_sparse_initializer(value))
        return weights

    def _read_interface(self, message: memoryview, weights: set[str]) -> None:
        """Read the inputs and outputs of the outer graph. An input that names one of its weights is none."""
        for number, value in read_messages(message):
            if number not in {11, 12}:
                continue
            tensor = _read_tensor(value)
            if number == 12:
                self._file.outputs[tensor.name] = tensor
            elif tensor.name not in weights:
                self._file.inputs[tensor.name] = tensor

    def _read_node(self, message: memoryview, depth: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise GraphError(f"found more than {MAX_NODES} operators, expected fewer")
        operator, domain = "", ""
        for number, value in read_fields(message):
            if number == 4:
                operator = read_text("an operator", value)
            elif number == 7:
                domain = read_text("the domain of an operator", value)
            elif number == 5 and isinstance(value, memoryview):
                self._read_attribute(value, depth)
        self._file.operators.add((domain, operator))

    def _read_attribute(self, message: memoryview, depth: int) -> None:
        for number, value in read_messages(message):
            if number in {5, 10}:
                self._read_initializer(value)
            elif number in {22, 23}:
                self._read_sparse_initializer(value)
            elif number in {6, 11}:
                self._read_graph(value, depth + 1)

    def _read_sparse_initializer(self, message: memoryview) -> str:
        """Count the elements of a sparse tensor, its values and their indices, and return its name."""
        names = [self._read_initializer(value) for number, value in read_messages(message) if number in {1, 2}]
        return names[0] if names else ""

    def _read_initializer(self, message: memoryview) -> str:
        """Count the elements of a tensor and return its name."""
        name, dims = "", list[int]()
        for number, value in read_fields(message):
            if number == 1:
                dims += read_integers(value)
            elif number == 8:
                name = read_text("the name of a weight", value)
            elif number == 13 or (number == 14 and value != 0):
                raise GraphError(
                    f"found weights in another file ({name or 'external data'}), expected all of them inside of the "
                    "graph: onnx.save(onnx.load(FILE), 'model.onnx')"
                )
        self._file.parameters += max(0, math.prod(dims))
        return name

    def _check_operators(self) -> None:
        version = self._file.opsets.get("", self._file.opsets.get("ai.onnx", MIN_OPSET))
        if version < MIN_OPSET:
            raise GraphError(f"found opset {version}, expected {MIN_OPSET} or later, which ONNX Runtime computes")
        for domain, operator in sorted(self._file.operators):
            if domain not in DOMAINS and domain not in self._functions:
                known = ", ".join(repr(name) for name in DOMAINS)
                raise GraphError(
                    f"found the operator {operator} of the domain {domain!r}, expected operators of {known} only: "
                    "custom ones are code of their own"
                )
            if operator in RANDOM:
                raise GraphError(
                    f"found the operator {operator}, expected none that draws random numbers: a session answers the "
                    "same input with the same numbers"
                )


def _read_tensor(message: memoryview) -> GraphTensor:
    name, kind = "", GraphTensor("", "none", None)
    for number, value in read_fields(message):
        if number == 1:
            name = read_text("the name of an input or output", value)
        elif number == 2 and isinstance(value, memoryview):
            kind = _read_type(value)
    return GraphTensor(name, kind.dtype, kind.shape)


def _read_type(message: memoryview) -> GraphTensor:
    for number, value in read_fields(message):
        if number != 1 or isinstance(value, int):
            return GraphTensor("", "sequence or map", None)
        dtype, shape = "none", None
        for inner, part in read_fields(value):
            if inner == 1 and isinstance(part, int):
                dtype = DTYPES.get(part, f"type {part}")
            elif inner == 2 and isinstance(part, memoryview):
                shape = tuple(_read_axes(part))
        return GraphTensor("", dtype, shape)
    return GraphTensor("", "none", None)


def _read_axes(message: memoryview) -> Iterator[int | str | None]:
    for number, value in read_fields(message):
        if number == 1 and isinstance(value, memoryview):
            axis: int | str | None = None
            for inner, part in read_fields(value):
                if inner == 1 and isinstance(part, int):
                    axis = signed(part)
                elif inner == 2:
                    axis = read_text("the name of an axis", part) or None
            yield axis


def read_text(what: str, value: int | memoryview) -> str:
    """Return a text. Raises GraphError for one that no name is."""
    if isinstance(value, int) or len(value) > MAX_NAME_BYTES:
        raise GraphError(f"found {what} of {len(value) if isinstance(value, memoryview) else 0} bytes, expected a name")
    try:
        text = bytes(value).decode()
    except UnicodeDecodeError as error:
        raise GraphError(f"found {what} that is no UTF-8, expected a name") from error
    if any(unicodedata.category(character).startswith("C") for character in text):
        raise GraphError(f"found {what} with control characters ({text[:80]!r}), expected printable ones")
    return text
