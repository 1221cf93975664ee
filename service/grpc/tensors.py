"""Tensors and parameters of messages: to the application's values, and back."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.domain.errors import InvalidRequest
from service.domain.operations import Json
from service.domain.tensors import Tensor, pack, require_size
from service.open_inference.tensors import require_description, require_no_parameters

#: The most inputs, outputs or parameters of a request, as over HTTP.
MAX_TENSORS = 64
MAX_NAME = 256
MAX_DIMENSIONS = 8
#: The field of InferTensorContents for each datatype. FP16 and BF16 have none.
FIELDS: Final = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def read_inputs(request: Any) -> dict[str, Tensor]:  # noqa: ANN401 - protobuf has no types
    """Return the tensors of a request by name. Raises InvalidRequest."""
    raw, inputs = request.raw_input_contents, request.inputs
    require_count("inputs", inputs)
    if raw and len(raw) != len(inputs):
        raise InvalidRequest(
            f"raw_input_contents has {len(raw)} entries: expected {len(inputs)}, one for each of inputs, or none",
            param="raw_input_contents",
        )
    tensors: dict[str, Tensor] = {}
    for index, item in enumerate(inputs):
        shape = tuple(item.shape)
        _check_sizes(item.name, shape)
        require_description(item.name, item.datatype, shape, tensors)
        require_no_parameters(item.name, item.parameters)
        data = _raw(item, raw[index]) if raw else _typed(item)
        require_size(item.name, item.datatype, shape, data)
        tensors[item.name] = Tensor(item.name, item.datatype, shape, data)
    return tensors


def require_count(field: str, items: Sequence[object] | Mapping[str, object]) -> None:
    """Raise InvalidRequest if a request has too many tensors or parameters."""
    if len(items) > MAX_TENSORS:
        raise InvalidRequest(f"{field} has {len(items)} entries: expected at most {MAX_TENSORS}", param=field)


def _check_sizes(name: str, shape: tuple[int, ...]) -> None:
    if not 1 <= len(name) <= MAX_NAME:
        raise InvalidRequest(
            f"the name of an input has {len(name)} characters: expected 1 to {MAX_NAME}", param="inputs"
        )
    if not 1 <= len(shape) <= MAX_DIMENSIONS:
        raise InvalidRequest(f"{name} has {len(shape)} dimensions: expected 1 to {MAX_DIMENSIONS}", param=name)


def _raw(item: Any, content: bytes) -> bytes:  # noqa: ANN401 - likewise
    if item.HasField("contents"):
        raise InvalidRequest(
            f"{item.name} has contents, and the request has raw_input_contents: expected one of them", param=item.name
        )
    return content


def _typed(item: Any) -> bytes:  # noqa: ANN401 - likewise
    """Return the bytes of elements in `contents`."""
    field = FIELDS.get(item.datatype)
    if field is None:
        raise InvalidRequest(
            f"{item.name} is {item.datatype}: expected it in raw_input_contents, not in contents", param=item.name
        )
    for other, _ in item.contents.ListFields():
        if other.name != field:
            raise InvalidRequest(
                f"{item.name} has {other.name}: expected {field}, as its datatype {item.datatype} says", param=item.name
            )
    try:
        return pack(item.datatype, getattr(item.contents, field))
    except (struct.error, OverflowError):
        raise InvalidRequest(
            f"{item.name} holds a number that {item.datatype} cannot hold: expected smaller ones", param=item.name
        ) from None


def read_parameters(field: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of parameters by name. Raises InvalidRequest for one without a value."""
    require_count(field, parameters)
    values: dict[str, Any] = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is None:
            raise InvalidRequest(f"{field} has {name[:80]!r} without a value: expected one", param=name[:80])
        values[name] = getattr(parameter, choice)
    return values


def write_parameter(parameter: Any, value: Json) -> None:  # noqa: ANN401 - likewise
    """Set the value of a parameter of a response."""
    if isinstance(value, bool):
        parameter.bool_param = value
    elif isinstance(value, int) and value >= 2**63:
        parameter.uint64_param = value
    elif isinstance(value, int):
        parameter.int64_param = value
    else:
        parameter.string_param = str(value)


def write_contents(output: Any, tensor: Tensor) -> None:  # noqa: ANN401 - likewise
    """Set the elements of an output in its `contents`."""
    getattr(output.contents, FIELDS[tensor.datatype]).extend(tensor.elements())
