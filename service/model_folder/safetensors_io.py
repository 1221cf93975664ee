"""Reading and writing of safetensors files.

A file is read once and whole, so that the hashed bytes are the served ones. It is not mapped into memory, since a
mapped file that shrinks ends the process.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, deserialize
from safetensors.torch import save
from torch import Tensor

from service.domain.errors import ModelFolderError

DTYPES: dict[str, torch.dtype] = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor of a file: dtype, shape and bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: bytearray

    def tensor(self) -> Tensor:
        """Return the tensor in the dtype of the file."""
        dtype = DTYPES[self.dtype]
        # frombuffer raises ValueError for an empty buffer.
        return (
            torch.frombuffer(self.data, dtype=dtype).view(self.shape)
            if self.data
            else torch.zeros(self.shape, dtype=dtype)
        )


@dataclass(frozen=True, slots=True)
class TensorFile:
    """The tensors of a file by name, and its metadata."""

    tensors: dict[str, StoredTensor]
    metadata: dict[str, str]


class TensorFileError(Exception):
    """Raised for bytes that are no safetensors file; the message says what they are."""


def read_tensor_file(path: Path) -> TensorFile:
    """Read a safetensors file. Raises ModelFolderError, which says what another file is."""
    try:
        return parse_tensor_file(path.read_bytes())
    except OSError as error:
        raise ModelFolderError(f"{path}: cannot be read: {error.strerror}; expected a safetensors file") from error
    except TensorFileError as error:
        raise ModelFolderError(f"{path}: {error}") from error


def parse_tensor_file(content: bytes) -> TensorFile:
    """Parse the bytes of a safetensors file. Raises TensorFileError."""
    try:
        entries = deserialize(content)  # type: ignore[no-untyped-call]
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (SafetensorError, ValueError) as error:
        # The library's message quotes the content, which can be long.
        raise TensorFileError(f"found {_nature(content)} ({str(error)[:200]}), expected a safetensors file") from error
    tensors = {name: StoredTensor(entry["dtype"], tuple(entry["shape"]), entry["data"]) for name, entry in entries}
    for name, stored in tensors.items():
        if stored.dtype not in DTYPES:
            raise TensorFileError(f"{name[:80]}: found dtype {stored.dtype}, expected one of {', '.join(DTYPES)}")
    return TensorFile(tensors, header.get("__metadata__") or {})


def write_tensor_file(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file."""
    path.write_bytes(tensor_file(tensors, metadata))


def tensor_file(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the bytes of a safetensors file."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save(plain, dict(metadata) if metadata else None)


def _nature(content: bytes) -> str:
    if not content:
        return "an empty file"
    if content[:1] == b"\x80" or content[:2] == b"PK":
        return "a pickle as torch.save writes it, which a server never opens (`unroll pack` converts it)"
    if content.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself (`git lfs pull` fetches it)"
    return "a truncated or damaged file"
