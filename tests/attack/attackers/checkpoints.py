"""Hostile checkpoint files: pickles that want to run, archives that grow, and safetensors files that lie."""

import itertools
import json
import pickle
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.attack.attackers.session_files import mutated

_BOMB_BYTES = 256 * 2**20
_HEADER = json.dumps(
    {
        "embedding.weight": {"dtype": "F32", "shape": [4, 2], "data_offsets": [0, 32]},
        "rnn.weight_ih_l0": {"dtype": "F32", "shape": [8, 2], "data_offsets": [32, 96]},
    }
).encode()
_VALID = struct.pack("<Q", len(_HEADER)) + _HEADER + bytes(96)
#: Pickles by name; {mark} is a command that leaves a file behind if it runs.
_PICKLES: dict[str, bytes] = {
    "system": b"cos\nsystem\n(S'{mark}'\ntR.",
    "eval": b'cbuiltins\neval\n(S\'__import__("os").system("{mark}")\'\ntR.',
    "getattr": b"cbuiltins\ngetattr\n(cos\nos\nS'system'\ntR(S'{mark}'\ntR.",
    "hub": b"ctorch.hub\nload\n(S'a/b'\ntR.",
    "deep-tuple": b"\x80\x02N" + b"\x85" * 1_000_000 + b".",
    "deep-list": b"\x80\x02" + b"]" * 300_000 + b"a" * 299_999 + b".",
    "long-integer": b"\x80\x02\x8b\x00\x00\x00\x7f" + b"1" * 100,
    "long-text": b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f",
    "long-bytes": b"\x80\x05\x96\x00\x00\x00\x00\x0f\x00\x00\x00.",
    "far-memo": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "doubling": b"\x80\x02](K\x01eq\x00"
    + b"".join(b"](" + b"h%c" % (level - 1) * 9 + b"eq%c" % level for level in range(1, 30))
    + b".",
    "nothing": b"",
    "list": pickle.dumps([1]),
}


def hostile_checkpoints(folder: Path, mark: Path, seed: int) -> Iterator[tuple[str, Path]]:
    """Write one hostile file after the other, without an end, and yield its kind and its path."""
    for kind, content in _PICKLES.items():
        command = f"touch {mark}".encode()
        yield kind, _write(folder / "pickle.pt", content.replace(b"{mark}", command))
        yield f"{kind}, in an archive", _archive(folder / "archive.pt", content.replace(b"{mark}", command))
    yield "bomb", _bomb(folder / "bomb.pt")
    for number in itertools.count():
        choose = random.Random(f"checkpoint {seed} {number}")
        yield "mutated", _write(folder / "model.safetensors", mutated(choose, [_VALID]))
        yield "garbage", _write(folder / "model.pt", choose.choice(_GARBAGE)(choose))


_GARBAGE: list[Callable[[random.Random], bytes]] = [
    lambda choose: choose.randbytes(choose.choice([1, 8, 100, 10_000])),
    lambda choose: b"PK\x03\x04" + choose.randbytes(200),
    lambda choose: b"\x80\x02" + choose.randbytes(200),
    lambda choose: struct.pack("<Q", choose.getrandbits(choose.choice([8, 32, 64]))) + choose.randbytes(100),
]


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _archive(path: Path, content: bytes) -> Path:
    """Write an archive as torch.save does, with one member that leads out of it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/../../outside", "x")
    return path


def _bomb(path: Path) -> Path:
    piece = b"N0" * 2**19
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("archive/data.pkl", "w", force_zip64=True) as member:
            member.write(b"\x80\x02")
            for _ in range(_BOMB_BYTES // len(piece)):
                member.write(piece)
            member.write(b"N.")
        archive.writestr("archive/version", "3\n")
    return path
