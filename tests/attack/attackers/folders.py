"""Hostile model folders that appear in the folder of models while the service runs."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.attack.attackers.base import Tally, Target
from tests.attack.attackers.session_files import mutated

_SOURCE = "next-word"
_PREFIX = "hostile-"


@dataclass(frozen=True)
class HostileFolders:
    """Writes one hostile folder after the other, a few at a time, and removes all of them at the end."""

    name: str = "model-folders"
    family: str = "folders"

    async def run(self, target: Target, tally: Tally) -> None:
        source = (target.models / _SOURCE / "1").resolve()
        pause = target.seconds / (len(KINDS) + 1)
        try:
            for kind, spoil in KINDS.items():
                if not tally.running():
                    break
                await asyncio.to_thread(_write, target.models, source, kind, spoil)
                tally.labels["folders"] += 1
                await asyncio.sleep(pause)
        finally:
            for folder in target.models.glob(f"{_PREFIX}*"):
                shutil.rmtree(folder, ignore_errors=True)


def _write(models: Path, source: Path, kind: str, spoil: Callable[[Path], None]) -> None:
    """Write a hostile folder beside the folder of models and move it into place, as a deployment does."""
    draft = models.parent / f"{_PREFIX}{kind}"
    shutil.copytree(source, draft / "1")
    spoil(draft / "1")
    draft.rename(models / draft.name)


def _tensors(header: object, data: bytes = b"", length: int | None = None) -> Callable[[Path], None]:
    """Return what replaces the weights by a file with this header."""
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(content) if length is None else length
    return lambda folder: _replace(folder / "model.safetensors", struct.pack("<Q", size) + content + data)


def _replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def _config(**fields: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_bytes())
        (folder / "config.json").write_text(json.dumps(config | fields), "utf-8")

    return spoil


def _file(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: _replace(folder / name, content)


def _link(name: str, place: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(place)

    return spoil


def _fifo(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return spoil


def _sparse(folder: Path) -> None:
    size = 20 * 2**30
    _tensors({"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}})(folder)
    os.truncate(folder / "model.safetensors", size)


def _mutated_weights(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    _replace(folder / "model.safetensors", mutated(random.Random(1), [content]))


def _card_of_aliases(folder: Path) -> None:
    levels = "".join(f"  a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    _replace(folder / "README.md", f"---\ndescription: x\nmetrics:\n  a0: &a0 [1]\n{levels}---\n".encode())


def _many_files(folder: Path) -> None:
    for number in range(5000):
        (folder / f"extra-{number}").touch()


def _catastrophic_pattern(folder: Path) -> None:
    with contextlib.suppress(OSError):
        tokenizer = json.loads((folder / "tokenizer.json").read_bytes())
        pattern = {"Regex": "(a+)+$"}
        tokenizer["pre_tokenizer"] = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
        _replace(folder / "tokenizer.json", json.dumps(tokenizer).encode())


KINDS: dict[str, Callable[[Path], None]] = {
    "card-aliases": _card_of_aliases,
    "card-python": _file("README.md", b'---\ndescription: !!python/object/apply:os.system ["true"]\n---\n'),
    "card-surrogate": _file("README.md", b'---\ndescription: "\\ud800"\nmetrics: {a: .nan}\n---\n'),
    "card-deep": _file("README.md", b"---\ndescription: " + b"[" * 50_000 + b"\n---\n"),
    "weights-fifo": _fifo("model.safetensors"),
    "config-fifo": _fifo("config.json"),
    "card-fifo": _fifo("README.md"),
    "weights-endless": _link("model.safetensors", "/dev/zero"),
    "config-endless": _link("config.json", "/dev/zero"),
    "tokenizer-endless": _link("tokenizer.json", "/dev/zero"),
    "weights-loop": _link("model.safetensors", "model.safetensors"),
    "weights-sparse": _sparse,
    "weights-mutated": _mutated_weights,
    "weights-length": _tensors(b"{}", length=2**64 - 1),
    "weights-long-header": _tensors(b"{}", length=2**40),
    "weights-shape": _tensors({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}, b"1234"),
    "weights-empty-shape": _tensors({"a": {"dtype": "F32", "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}}),
    "weights-deep": _tensors(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "weights-many": _tensors({f"t{n}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for n in range(100_000)}),
    "config-wide": _config(hidden_size=10**9, input_size=10**9, embedding_size=10**9),
    "config-layers": _config(num_layers=10**6),
    "config-vocabulary": _config(vocab_size=10**15),
    "config-head": _config(head=[{"size": 1, "activation": "tanh"}] * 100_000, tie_weights=False),
    "config-sizes": _config(hidden_size=[1] * 100_000),
    "config-deep": _file("config.json", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "config-long": _file("config.json", b'{"a":"' + b"x" * 60_000_000 + b'"}'),
    "config-nan": _file("config.json", b'{"format_version":NaN}'),
    "tokenizer-deep": _file("tokenizer.json", b"[" * 100_000),
    "tokenizer-empty": _file("tokenizer.json", b""),
    "tokenizer-pattern": _catastrophic_pattern,
    "golden-pickle": _file("golden.safetensors", b"\x80\x02]q\x00K\x01a."),
    "many-files": _many_files,
}
