"""Reading and writing of safetensors files.

A file is read once and whole, so that the hashed bytes are the served ones. It is not mapped into memory, since a
mapped file that shrinks ends the process.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import torch
from safetensors.torch import save
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.domain.files import changed, file_size, open_file, unreadable
from service.model_folder.safetensors_header import (
    DTYPES,
    TensorEntry,
    TensorFileError,
    TensorHeader,
    header_size,
    parse_header,
)

if TYPE_CHECKING:
    import io

EXPECTED = "a safetensors file"
#: The bytes by which other kinds of files are recognised.
MAGIC_BYTES = 32


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


@dataclass(frozen=True, slots=True)
class OpenTensorFile:
    """A file whose header was read and checked against its size. No memory was allocated for its tensors yet."""

    path: Path
    header: TensorHeader
    file: BinaryIO

    @property
    def data_bytes(self) -> int:
        """The size of all tensors."""
        return sum(entry.end - entry.begin for entry in self.header.entries.values())

    def read(self) -> TensorFile:
        """Read all tensors, each into memory of its own. Raises ModelFolderError."""
        tensors = {
            name: StoredTensor(entry.dtype, entry.shape, self._read_data(entry))
            for name, entry in self.header.entries.items()
        }
        return TensorFile(tensors, self.header.metadata)

    def _read_data(self, entry: TensorEntry) -> bytearray:
        data = bytearray(entry.end - entry.begin)
        try:
            self.file.seek(self.header.size + entry.begin)
            count = cast("io.BufferedReader", self.file).readinto(data)
        except OSError as error:
            raise unreadable(self.path, error, EXPECTED) from error
        if count != len(data):
            raise changed(self.path)
        return data


@contextmanager
def open_tensor_file(path: Path) -> Iterator[OpenTensorFile]:
    """Open a safetensors file and read its header. Raises ModelFolderError, which says what another file is."""
    with open_file(path, EXPECTED) as file:
        size = file_size(file)
        try:
            magic = file.read(MAGIC_BYTES)
            with _described(magic):
                length = header_size(magic, size)
                file.seek(0)
                header = parse_header(file.read(length), size)
        except OSError as error:
            raise unreadable(path, error, EXPECTED) from error
        except TensorFileError as error:
            raise ModelFolderError(f"{path}: {error}") from error
        yield OpenTensorFile(path, header, file)


def read_tensor_file(path: Path) -> TensorFile:
    """Read a safetensors file. Raises ModelFolderError, which says what another file is."""
    with open_tensor_file(path) as file:
        return file.read()


def parse_tensor_file(content: bytes, max_tensors: int | None = None) -> TensorFile:
    """Parse the bytes of a safetensors file of at most `max_tensors`. Raises TensorFileError."""
    with _described(content[:MAGIC_BYTES]):
        size = header_size(content, len(content))
        header = parse_header(content[:size], len(content), max_tensors)
    tensors = {
        name: StoredTensor(entry.dtype, entry.shape, bytearray(content[size + entry.begin : size + entry.end]))
        for name, entry in header.entries.items()
    }
    return TensorFile(tensors, header.metadata)


def write_tensor_file(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file."""
    path.write_bytes(tensor_file(tensors, metadata))


def tensor_file(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the bytes of a safetensors file."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save(plain, dict(metadata) if metadata else None)


@contextmanager
def _described(magic: bytes) -> Iterator[None]:
    """Raise TensorFileError with the kind of file that starts with `magic`, for a ValueError of the block."""
    try:
        yield
    except ValueError as error:
        # A message can quote the content, which can be long.
        reason = str(error)[:200]
        raise TensorFileError(f"found {_nature(magic)} ({reason}), expected {EXPECTED}") from error


def _nature(magic: bytes) -> str:
    if not magic:
        return "an empty file"
    if magic[:1] == b"\x80" or magic[:2] == b"PK":
        return "a pickle as torch.save writes it, which a server never opens (`unroll pack` converts it)"
    if magic.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself (`git lfs pull` fetches it)"
    return "a truncated or damaged file"
