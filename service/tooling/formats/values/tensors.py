"""Tensors of PyTorch in a pickle: what a file states of a tensor, and the tensor itself from the stored bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from service.tooling.formats.values.arrays import Array, array_of
from service.tooling.pickles.values import Global, Instance, PickleError, Reference

#: A storage whose bytes are a file of torch.save within the pickle.
EMBEDDED = "torch.storage._load_from_bytes"
#: Calls around the tensor of a parameter.
MAX_WRAPPERS = 8
MAX_DIMENSIONS = 32
_STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}
_DTYPES = {str(dtype): dtype for dtype in _STORAGES.values()}
#: Functions whose first argument is the tensor that they wrap.
_WRAPPERS = {
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._utils._rebuild_device_tensor_from_cpu_tensor",
    "torch._utils._rebuild_device_tensor_from_numpy",
    "torch.nn.parameter.Parameter",
    "torch.nn.parameter.Buffer",
    "torch._utils._rebuild_xla_tensor",
}
_UNUSABLE = {
    "torch._utils._rebuild_qtensor": "a quantized tensor",
    "torch._utils._rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils._rebuild_sparse_csr_tensor": "a sparse tensor",
    "torch._utils._rebuild_meta_tensor_no_storage": "a tensor without values",
    "torch._utils._rebuild_nested_tensor": "a nested tensor",
    "torch._utils._rebuild_wrapper_subclass": "a tensor of another class",
}
_UNKNOWN_DTYPE = "a tensor of a dtype that is not known here"


@dataclass(frozen=True, slots=True)
class Storage:
    """The bytes of tensors, and their dtype where the pickle of the tensors does not state it."""

    data: bytearray
    dtype: torch.dtype = torch.uint8


Storages: TypeAlias = Callable[[str | bytes], Storage]


@dataclass(frozen=True, slots=True, eq=False)
class StoredTensor:
    """A tensor as a pickle states it. One with a `problem` cannot be read.

    `storage` is the key of its storage in the file, or the bytes of a file within the pickle. `values` are the numbers
    of one that was a numpy array.
    """

    storage: str | bytes = ""
    location: str = ""
    dtype: torch.dtype | None = None
    offset: int = 0
    shape: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    problem: str = ""
    values: Array | None = None


def stored_tensor(value: object) -> StoredTensor | None:
    """Return what a value of a pickle states of a tensor, or None if it is none. Raises PickleError."""
    if isinstance(value, np.ndarray):
        return from_array(value)
    for _ in range(MAX_WRAPPERS):
        if not isinstance(value, Instance):
            return None
        if value.name in _UNUSABLE:
            return StoredTensor(problem=_UNUSABLE[value.name])
        if value.name in _PLAIN:
            return _plain(value.name, value.arguments)
        inner = _unwrap(value)
        if inner is value:
            return _from_array(value)
        value = inner
    return None


def _unwrap(value: Instance) -> object:
    """Return the value that a call wraps, or the call itself if it wraps none."""
    if value.name == "torch._tensor._rebuild_from_type_v2" and len(value.arguments) > 2:
        function, _, arguments = value.arguments[:3]
        return Instance(function, arguments) if isinstance(arguments, tuple) else None
    return value.arguments[0] if value.name in _WRAPPERS and value.arguments else value


def materialize(stored: StoredTensor, storages: Storages) -> Tensor:
    """Return the tensor; `storages` returns a storage by its key. Raises PickleError for shapes beyond its bytes."""
    if stored.problem:
        raise PickleError(stored.problem)
    if stored.values is not None:
        return torch.from_numpy(stored.values)
    storage = storages(stored.storage)
    dtype, count = stored.dtype or storage.dtype, prod(stored.shape)
    if len(storage.data) % dtype.itemsize:
        raise PickleError(f"{len(storage.data)} bytes of numbers, expected a multiple of {dtype.itemsize}")
    flat = torch.frombuffer(storage.data, dtype=dtype) if storage.data else torch.zeros(0, dtype=dtype)
    if count > flat.numel() or (count and stored.offset + _span(stored) > flat.numel()):
        raise PickleError(
            f"shape {str([*stored.shape])[:80]}, expected no more numbers than the {flat.numel()} that are stored"
        )
    if not count:
        return torch.zeros(stored.shape, dtype=dtype)
    return flat.as_strided(stored.shape, stored.stride, stored.offset)


def storage_of(key: object) -> tuple[str, torch.dtype, str, int] | None:
    """Return key, dtype, device and number of elements of the storage that a persistent id refers to."""
    if not isinstance(key, tuple) or len(key) < 5 or key[0] not in ("storage", b"storage"):
        return None
    _, kind, name, location, count = key[:5]
    dtype = _dtype_of_storage(kind)
    if dtype is None or not isinstance(location, str | bytes) or not isinstance(count, int) or count < 0:
        return None
    return str(name), dtype, location if isinstance(location, str) else location.decode("latin-1"), count


def _dtype_of_storage(kind: object) -> torch.dtype | None:
    if not isinstance(kind, Global) or not kind.name.startswith("torch."):
        return None
    return _STORAGES.get(kind.name.rpartition(".")[2])


def _span(stored: StoredTensor) -> int:
    """Return the number of elements from the first to the last one in its storage."""
    return 1 + sum((size - 1) * step for size, step in zip(stored.shape, stored.stride, strict=True))


def _plain(name: str, arguments: tuple[Any, ...]) -> StoredTensor:
    if len(arguments) < 4:
        raise PickleError("a tensor that is stated incompletely")
    storage, place = arguments[0], _place(*arguments[1:4])
    if isinstance(storage, Instance) and storage.name == EMBEDDED:
        return StoredTensor(_embedded_file(storage), "", None, *place)
    described = storage_of(storage.key) if isinstance(storage, Reference) else None
    if described is None:
        return StoredTensor(problem=_UNKNOWN_DTYPE)
    key, stored, location, _ = described
    dtype = _dtype_of_version_3(arguments) if name.endswith("_v3") else stored
    return StoredTensor(problem=_UNKNOWN_DTYPE) if dtype is None else StoredTensor(key, location, dtype, *place)


def _place(offset: Any, shape: Any, stride: Any) -> tuple[int, tuple[int, ...], tuple[int, ...]]:  # noqa: ANN401
    """Return where the numbers are in their storage. Raises PickleError for other values than sizes."""
    if not (_are_sizes(shape) and _are_sizes(stride) and len(shape) == len(stride) and _are_sizes((offset,))):
        raise PickleError("a tensor whose shape is none")
    return offset, tuple(shape), tuple(stride)


def _embedded_file(storage: Instance) -> bytes:
    content = storage.arguments[0] if storage.arguments else b""
    return bytes(content) if isinstance(content, bytes | bytearray) else b""


def _dtype_of_version_3(arguments: tuple[Any, ...]) -> torch.dtype | None:
    """Return the dtype that a call of the third version states beside its untyped storage."""
    stated = arguments[6] if len(arguments) > 6 else None
    return _DTYPES.get(stated.name) if isinstance(stated, Global) else None


def _are_sizes(values: object) -> bool:
    return (
        isinstance(values, tuple | list)
        and len(values) <= MAX_DIMENSIONS
        and all(type(value) is int and 0 <= value < 2**62 for value in values)
    )


def _from_array(value: Instance) -> StoredTensor | None:
    array = array_of(value)
    return None if array is None else from_array(array)


def from_array(array: Array) -> StoredTensor:
    """Return an array of numpy as a tensor."""
    return StoredTensor(shape=array.shape, values=array)


_PLAIN = {"torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3"}
