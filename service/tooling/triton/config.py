"""What a config.pbtxt says of an ONNX graph: its inputs and outputs, pairs of states, and control inputs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.domain.errors import ModelFolderError
from service.domain.files import read_file
from service.domain.visible_text import visible_text
from service.tooling.triton.text_format import Message, TextFormatError, Value, parse_message

FILE: Final = "config.pbtxt"
MAX_BYTES: Final = 2**20
#: The folder of initial states, beside the configuration.
INITIAL_FOLDER: Final = "initial_state"
DTYPES: Final = {
    "TYPE_BOOL": "bool", "TYPE_UINT8": "uint8", "TYPE_UINT16": "uint16", "TYPE_UINT32": "uint32",
    "TYPE_UINT64": "uint64", "TYPE_INT8": "int8", "TYPE_INT16": "int16", "TYPE_INT32": "int32", "TYPE_INT64": "int64",
    "TYPE_FP16": "float16", "TYPE_FP32": "float32", "TYPE_FP64": "float64",
}  # fmt: skip
#: The fields of a control that hold its values for false and true.
FALSE_TRUE: Final = ("fp32_false_true", "int32_false_true", "bool_false_true")


@dataclass(frozen=True, slots=True)
class TritonTensor:
    """An input, output or state. `dims` has -1 for an axis of any size, and no batch axis if the model is batched."""

    name: str
    dtype: str
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class InitialState:
    """A state before the first request: the file of its numbers, None for zeros."""

    dims: tuple[int, ...]
    file: str | None


@dataclass(frozen=True, slots=True)
class TritonState:
    """A state: the tensor of its input, the output that follows it, and how it begins, None if nothing is said."""

    tensor: TritonTensor
    output: str
    initial: InitialState | None


@dataclass(frozen=True, slots=True)
class Control:
    """An input that Triton fills: its kind, such as CONTROL_SEQUENCE_START, and its values for false and true."""

    name: str
    kind: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TritonConfig:
    """The parts of a config.pbtxt that describe a graph."""

    path: Path
    batched: bool
    inputs: tuple[TritonTensor, ...]
    outputs: tuple[TritonTensor, ...]
    states: tuple[TritonState, ...]
    controls: tuple[Control, ...]


def find_triton_config(graph: Path) -> Path | None:
    """Return the config.pbtxt beside a graph, or in the folder above of a version, NAME/1/model.onnx."""
    folders = [graph.parent, *([graph.parent.parent] if graph.parent.name.isdecimal() else [])]
    return next((folder / FILE for folder in folders if (folder / FILE).is_file()), None)


def read_triton_config(path: Path) -> TritonConfig:
    """Read a config.pbtxt. Raises ModelFolderError naming place, what was found and what was expected."""
    content = read_file(path, MAX_BYTES, "a configuration of Triton")
    try:
        message = parse_message(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ModelFolderError(f"{path}: found no UTF-8 text at byte {error.start}, expected text format") from error
    except TextFormatError as error:
        raise ModelFolderError(f"{path}, {error}") from error
    return _Reader(path).read(message)


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, message: Message) -> TritonConfig:
        batches = self._batch_size(message)
        batching = self._messages(message, "sequence_batching")
        if len(batching) > 1:
            raise self._error("sequence_batching", f"{len(batching)} of them", "one at most")
        states = [state for one in batching for state in self._messages(one, "state")]
        controls = [control for one in batching for control in self._messages(one, "control_input")]
        return TritonConfig(
            self._path,
            batches > 0,
            tuple(self._tensor("input", entry) for entry in self._messages(message, "input")),
            tuple(self._tensor("output", entry) for entry in self._messages(message, "output")),
            tuple(map(self._state, states)),
            tuple(self._control(entry) for entry in controls),
        )

    def _batch_size(self, message: Message) -> int:
        size = message.get("max_batch_size", [0])[-1]
        if type(size) is not int or size < 0:
            raise self._error("max_batch_size", repr(size)[:40], "a whole number from 0")
        return size

    def _tensor(self, field: str, entry: Message, name: str = "name") -> TritonTensor:
        own = self._text(entry, name, field)
        kind = self._text(entry, "data_type", f"{field} {own}")
        if kind not in DTYPES:
            raise self._error(f"{field} {own}: data_type", kind, f"one of {', '.join(DTYPES)}")
        return TritonTensor(own, DTYPES[kind], self._dims(entry, f"{field} {own}"))

    def _state(self, entry: Message) -> TritonState:
        tensor = self._tensor("state", entry, "input_name")
        place = f"state {tensor.name}"
        found = self._messages(entry, "initial_state")
        if len(found) > 1:
            raise self._error(f"{place}: initial_state", f"{len(found)} of them", "one at most")
        initial = self._initial(found[0], tensor, place) if found else None
        return TritonState(tensor, self._text(entry, "output_name", place), initial)

    def _initial(self, entry: Message, tensor: TritonTensor, place: str) -> InitialState:
        kind = self._text(entry, "data_type", f"{place}: initial_state")
        if DTYPES.get(kind) != tensor.dtype:
            raise self._error(f"{place}: initial_state.data_type", kind, f"that of the state, {tensor.dtype}")
        dims = self._dims(entry, f"{place}: initial_state")
        if "data_file" not in entry:
            return InitialState(dims, None)
        file = self._text(entry, "data_file", f"{place}: initial_state")
        if Path(file).name != file:
            raise self._error(f"{place}: initial_state.data_file", file, f"a file of the folder {INITIAL_FOLDER}")
        return InitialState(dims, file)

    def _control(self, entry: Message) -> Control:
        name = self._text(entry, "name", "control_input")
        controls = self._messages(entry, "control")
        if len(controls) != 1:
            raise self._error(f"control_input {name}: control", f"{len(controls)} of them", "one")
        kind = self._text(controls[0], "kind", f"control_input {name}")
        values = next((controls[0][field] for field in FALSE_TRUE if field in controls[0]), [])
        numbers = tuple(value for value in values if isinstance(value, int | float))
        if values and (len(numbers) != len(values) or len(numbers) != 2):
            raise self._error(f"control_input {name}", repr(values)[:80], "the values for false and for true")
        return Control(name, kind, numbers)

    def _dims(self, entry: Message, place: str) -> tuple[int, ...]:
        dims = entry.get("dims", [])
        if any(type(size) is not int or (size < 1 and size != -1) for size in dims):
            raise self._error(f"{place}: dims", repr(dims)[:80], "sizes, or -1 for any")
        return tuple(size for size in dims if isinstance(size, int))

    def _messages(self, entry: Mapping[str, list[Value]], field: str) -> list[Message]:
        found = entry.get(field, [])
        return [value if isinstance(value, dict) else self._no_message(field, value) for value in found]

    def _no_message(self, field: str, value: Value) -> Message:
        raise self._error(field, repr(value)[:80], "a message in braces")

    def _text(self, entry: Message, field: str, place: str) -> str:
        value = entry.get(field, [None])[-1]
        if not isinstance(value, str) or not value:
            raise self._error(f"{place}: {field}", "nothing" if value is None else repr(value)[:80], "a name")
        return visible_text(value)

    def _error(self, place: str, found: str, expected: str) -> ModelFolderError:
        return ModelFolderError(f"{self._path}: {place}: found {found}, expected {expected}")


def control_values(config: TritonConfig) -> Iterator[tuple[str, float | bool | None, str]]:
    """Yield each control input, the value that it always has here, None if the user must say, and why.

    Raises ModelFolderError for one that tells sequences apart.
    """
    begins = all(state.initial is not None for state in config.states)
    for control in config.controls:
        no, yes = control.values or (0, 1)
        if control.kind.endswith("_READY"):
            yield control.name, yes, "every row that is fed is a request"
        elif control.kind.endswith("_END"):
            yield control.name, no, "a session ends without a last step"
        elif control.kind.endswith("_START"):
            reason = "the initial state is that of config.json" if begins else "whether false fits is not stated"
            yield control.name, no if begins else None, f"{reason}, and every step gets the same value"
        else:
            raise ModelFolderError(
                f"{config.path}: control_input {control.name}: found {control.kind}, expected START, END or READY: no "
                "answer of a session depends on a number of its own"
            )
