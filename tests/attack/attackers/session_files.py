"""Session files as safetensors, and mutations of them: a length, a header of JSON, and the tensors."""

import json
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_DTYPES = ["F64", "F16", "BF16", "I32", "I64", "F32", "U8", "BOOL", "X", "F8_E4M3"]
_SHAPES: list[list[int]] = [[], [0], [-1], [1], [2**40, 2**40], [0, 2**62, 2**62], [2**63]]
_TEXTS = [
    "",
    "x",
    "-1",
    "0",
    "1e9",
    "9007199254740993",
    "9" * 30,
    "\u0663",
    "\x00",
    "\ud800",
    "a" * 5000,
    "sha256:" + "0" * 64,
    "../x",
]
_FLOATS = [float("nan"), float("inf"), -float("inf"), 1e12, -1e12, 3e38, 1e-45, 0.0]
_INTEGERS = [0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 253402300800000000, -62135596800000001, 9999]
_LENGTHS = [0, 1, 2**20, 2**31, 2**40, 2**63 - 1, 2**64 - 1]

_TENSOR_FIELDS: list[tuple[str, Sequence[object]]] = [
    ("dtype", _DTYPES),
    ("shape", _SHAPES),
    ("data_offsets", [[0, 0], [4, 0], [0, 2**62]]),
]


@dataclass(slots=True)
class SessionFile:
    """A session file taken apart."""

    header: dict[str, Any]
    data: bytes

    @classmethod
    def parse(cls, content: bytes) -> "SessionFile":
        """Take a valid file apart."""
        (length,) = struct.unpack("<Q", content[:8])
        return cls(json.loads(content[8 : 8 + length]), content[8 + length :])

    @property
    def tensors(self) -> list[str]:
        return [name for name in self.header if name != "__metadata__"]

    def pack(self) -> bytes:
        """Put the file together again, valid or not."""
        header = json.dumps(self.header).encode()
        return struct.pack("<Q", len(header)) + header + self.data


def mutated(choose: random.Random, contents: list[bytes]) -> bytes:
    """Return a mutation of one of the valid files `contents`."""
    content = choose.choice(contents)
    if choose.random() < 0.3:
        return choose.choice(_ON_BYTES)(choose, content)
    file = SessionFile.parse(content)
    for _ in range(choose.choice([1, 1, 2])):
        choose.choice(_ON_FILES)(choose, file)
    return file.pack()


def _truncate(choose: random.Random, content: bytes) -> bytes:
    return content[: choose.randrange(len(content))]


def _flip(choose: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(choose.randrange(1, 4)):
        changed[choose.randrange(8, len(changed))] = choose.randrange(256)
    return bytes(changed)


def _other_length(choose: random.Random, content: bytes) -> bytes:
    return struct.pack("<Q", choose.choice(_LENGTHS)) + content[8:]


def _deep(choose: random.Random, content: bytes) -> bytes:
    header = b'{"a":' * choose.choice([100, 20_000]) + b"1"
    return struct.pack("<Q", len(header)) + header


def _metadata(choose: random.Random, file: SessionFile) -> None:
    metadata = file.header.get("__metadata__", {})
    if not metadata:
        return
    name = choose.choice(list(metadata))
    if choose.random() < 0.3:
        del metadata[name]
    else:
        metadata[name] = choose.choice([*_TEXTS, f"{metadata[name]} "])


def _tensor(choose: random.Random, file: SessionFile) -> None:
    if not file.tensors:
        return
    name = choose.choice(file.tensors)
    field, values = choose.choice(_TENSOR_FIELDS)
    file.header[name] = {**file.header[name], field: choose.choice(values)}


def _drop(choose: random.Random, file: SessionFile) -> None:
    if file.tensors:
        del file.header[choose.choice(file.tensors)]


def _add(choose: random.Random, file: SessionFile) -> None:
    for number in range(choose.choice([1, 2000])):
        file.header[f"extra{number}"] = {"dtype": "F32", "shape": [0], "data_offsets": [len(file.data)] * 2}


def _numbers(choose: random.Random, file: SessionFile) -> None:
    """Set one number, or all of a tensor, to something extreme."""
    if not file.tensors:
        return
    tensor = file.header[choose.choice(file.tensors)]
    start, end = tensor["data_offsets"]
    integers = tensor["dtype"] == "I64"
    number = struct.pack("<q", choose.choice(_INTEGERS)) if integers else struct.pack("<f", choose.choice(_FLOATS))
    count = max(0, min(end, len(file.data)) - start) // len(number)
    if count:
        place = start + len(number) * choose.randrange(count)
        size = count if choose.random() < 0.3 else 1
        place = start if size == count else place
        file.data = file.data[:place] + number * size + file.data[place + size * len(number) :]


_ON_BYTES: list[Callable[[random.Random, bytes], bytes]] = [_truncate, _flip, _other_length, _deep]
_ON_FILES: list[Callable[[random.Random, SessionFile], None]] = [
    _metadata,
    _metadata,
    _tensor,
    _drop,
    _add,
    _numbers,
    _numbers,
]
