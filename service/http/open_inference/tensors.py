"""Tensors of requests and responses: from JSON and bytes to `Tensor`, and back."""

import math
import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any

from service.domain.errors import InvalidRequest
from service.domain.operations import Json
from service.domain.tensors import FLOATS, INTEGERS, Tensor, pack, require_size
from service.http.schemas.open_inference import InferInput
from service.open_inference.tensors import require_description, require_no_parameters

#: Datatypes that travel as bytes only.
BINARY_ONLY = frozenset({"FP16", "BF16"})
_TYPES: dict[str, frozenset[type]] = (
    {"BOOL": frozenset({bool}), "BYTES": frozenset({str})}
    | dict.fromkeys(INTEGERS, frozenset({int}))
    | dict.fromkeys(FLOATS, frozenset({int, float, type(None)}))
)
_NAMES = {"BOOL": "true or false", "BYTES": "texts"} | dict.fromkeys(INTEGERS, "integers")


def read_inputs(inputs: Sequence[InferInput], content: bytes) -> dict[str, Tensor]:
    """Return the tensors of a request by name. `content` are the bytes behind the JSON. Raises InvalidRequest."""
    tensors: dict[str, Tensor] = {}
    start = 0
    for item in inputs:
        require_description(item.name, item.datatype, item.shape, tensors)
        require_no_parameters(item.name, item.parameters, "binary_data_size")
        size = _binary_size(item, len(content) - start)
        data = _data_of(item) if size is None else content[start : start + size]
        start += size or 0
        shape = tuple(item.shape)
        require_size(item.name, item.datatype, shape, data)
        tensors[item.name] = Tensor(item.name, item.datatype, shape, data)
    if start != len(content):
        raise InvalidRequest(
            f"{len(content)} bytes follow the JSON: expected {start}, as the binary_data_size of all inputs says",
            param="inputs",
        )
    return tensors


def _binary_size(item: InferInput, available: int) -> int | None:
    """Return how many bytes behind the JSON an input has, None if its elements are in the JSON."""
    if "binary_data_size" not in item.parameters:
        return None
    size = item.parameters["binary_data_size"]
    if type(size) is not int or not 0 <= size <= available:
        raise InvalidRequest(
            f"binary_data_size of {item.name} is {str(size)[:40]}: expected an integer, at most {available}, the bytes "
            "that are left behind the JSON",
            param=item.name,
        )
    if item.data is not None:
        raise InvalidRequest(f"{item.name} has data and binary_data_size: expected one of them", param=item.name)
    return size


def _data_of(item: InferInput) -> bytes:
    """Return the bytes of elements in JSON."""
    if item.data is None:
        raise InvalidRequest(f"{item.name} has no data: expected data, or binary_data_size", param=item.name)
    if item.datatype in BINARY_ONLY:
        raise InvalidRequest(f"{item.name} is {item.datatype}: expected it in binary, not in JSON", param=item.name)
    elements = _flatten(item)
    _check_types(item, elements)
    if item.datatype == "BYTES":
        return pack("BYTES", [element.encode("utf-8", "surrogatepass") for element in elements])
    if item.datatype in FLOATS:
        elements = [math.nan if element is None else element for element in elements]
    try:
        return pack(item.datatype, elements)
    except (struct.error, OverflowError):
        raise InvalidRequest(
            f"{item.name} holds a number that {item.datatype} cannot hold: expected smaller ones", param=item.name
        ) from None


def _check_types(item: InferInput, elements: Sequence[Any]) -> None:
    """Raise InvalidRequest for an element of another JSON type than that of the datatype."""
    types = _TYPES[item.datatype]
    if set(map(type, elements)) <= types:
        return
    wrong = next(element for element in elements if type(element) not in types)
    expected = _NAMES.get(item.datatype, "numbers, or null for NaN")
    raise InvalidRequest(
        f"{item.name} holds {str(wrong)[:40]!r}: expected {expected}, as its datatype {item.datatype} says",
        param=item.name,
    )


def _flatten(item: InferInput) -> list[Any]:
    """Return the elements of data that is flat, or nested as the shape says. Raises InvalidRequest."""
    elements: list[Any] = item.data or []
    count = math.prod(item.shape)
    if len(item.shape) > 1 and elements and isinstance(elements[0], list):
        for depth, size in enumerate(item.shape[1:], 1):
            if set(map(type, elements)) != {list} or set(map(len, elements)) != {size}:
                raise InvalidRequest(
                    f"data of {item.name} is not nested as its shape {item.shape} says, at depth {depth}: expected "
                    f"flat elements, or lists of {size} there",
                    param=item.name,
                )
            elements = [*chain.from_iterable(elements)]
            if not elements:
                break
    if len(elements) != count:
        raise InvalidRequest(
            f"data of {item.name} has {len(elements)} elements: expected {count}, as its shape {item.shape} says",
            param=item.name,
        )
    return elements


def to_json(tensor: Tensor) -> list[Json]:
    """Return the elements of an output for JSON."""
    elements = tensor.elements()
    if tensor.datatype == "BYTES":
        return [element.decode("utf-8", "replace") for element in elements]
    return [*elements]
