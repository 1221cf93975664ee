"""Safetensors files taken apart and put together again, for tests of what is refused of them."""

import json
import random
import struct
from typing import Any

import numpy as np
from safetensors.numpy import load, save

Header = dict[str, Any]


def taken_apart(content: bytes) -> tuple[Header, bytes]:
    """The header of a file and the data behind it."""
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def put_together(header: Header | bytes, data: bytes) -> bytes:
    """A file of this header, well-formed or not, and data."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data


def metadata_of(content: bytes) -> dict[str, str]:
    found: dict[str, str] = taken_apart(content)[0]["__metadata__"]
    return found


def with_tensors(content: bytes, **changes: Any) -> bytes:
    """The file with tensors replaced by arrays, None for one that is left out."""
    tensors = {name: one for name, one in (load(content) | changes).items() if one is not None}
    return save({name: np.asarray(one) for name, one in tensors.items()}, metadata_of(content))


def with_metadata(content: bytes, **changes: str | None) -> bytes:
    """The file with entries of its metadata replaced, None for one that is left out."""
    told = {name: value for name, value in (metadata_of(content) | changes).items() if value is not None}
    return save(load(content), told)


def mutated(content: bytes, choose: random.Random) -> bytes:
    """The file with one accident or two, or acts of malice."""
    kinds = (_flipped, _cut, _grown, _with_other_numbers, _with_a_wrong_header)
    for kind in choose.choices(kinds, (3, 1, 1, 4, 2), k=choose.randint(1, 2)):
        content = kind(content, choose)
    return content


def _flipped(content: bytes, choose: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(choose.randint(1, 8)):
        if changed:
            changed[choose.randrange(len(changed))] ^= 1 << choose.randrange(8)
    return bytes(changed)


def _cut(content: bytes, choose: random.Random) -> bytes:
    return content[: choose.randrange(len(content) + 1)]


def _grown(content: bytes, choose: random.Random) -> bytes:
    at, length = choose.randrange(len(content) + 1), choose.choice((1, 4, 8, 64))
    return content[:at] + choose.randbytes(length) + content[at:]


def _with_other_numbers(content: bytes, choose: random.Random) -> bytes:
    """Overwrite some of the data: by NaN, infinite or huge numbers, integers at the edge, or anything."""
    size = int.from_bytes(content[:8], "little")
    data = bytearray(content[8 + size :])
    if not data:
        return content
    wild = (
        b"\0\0\xc0\x7f",
        b"\0\0\x80\x7f",
        b"\xa4\xd4\x68\x53",
        b"\xa4\xd4\x68\xd3",
        b"\xff" * 8,
        b"\0" * 7 + b"\x80",
    )
    for _ in range(choose.randint(1, 4)):
        own = choose.choice((*wild, b"\0" * 8, struct.pack("<f", choose.gauss(0, 3)), choose.randbytes(8)))
        at = 4 * choose.randrange(len(data) // 4 + 1)
        data[at : at + len(own)] = own
    return content[: 8 + size] + bytes(data[: len(content) - 8 - size])


def _with_a_wrong_header(content: bytes, choose: random.Random) -> bytes:
    """Change an entry of the header, or say another length of it."""
    if choose.random() < 0.2:
        return choose.choice((0, 1, 2**20, 2**40, 2**63, 2**64 - 1)).to_bytes(8, "little") + content[8:]
    try:
        header, data = taken_apart(content)
    except (ValueError, RecursionError):
        return content
    if not isinstance(header, dict) or not header:
        return content
    name = choose.choice(sorted(header))
    entry = header[name]
    wrong = (None, [], {}, "", -1, 2**63, 1e308, "x" * 5000, [2**62, 0], [[1]], "F16", "I64", "F4")
    if isinstance(entry, dict) and entry and choose.random() < 0.8:
        entry[choose.choice(sorted(entry))] = choose.choice((*wrong, "2", "-1", "1e9", "9" * 40, [0, 4], [0, 0]))
    elif choose.random() < 0.5:
        header[choose.choice((name + "x", "h_l9", "time", "__metadata__"))] = header.pop(name)
    else:
        header[name] = choose.choice(wrong)
    return put_together(header, data)
