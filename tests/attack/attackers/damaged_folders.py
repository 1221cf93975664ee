"""Damaged model folders and checkpoint files for `unroll verify` and `unroll inspect`, by a seed."""

import asyncio
import importlib
import io
import json
import os
import random
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice, takewhile
from pathlib import Path
from typing import Any

from tests.attack.attackers.base import Tally, Target
from tests.attack.attackers.damage import damaged, damaged_bytes
from tests.attack.attackers.offline import BATCH, import_commands, run_batch
from tests.attack.attackers.session_files import mutated

_FRONT_MATTER = [
    "metrics: [" + "[" * 3000,
    "metrics:\n  a: &a [1]\n  b: *a",
    "metrics: {a: .nan}",
    "metrics: {a: 0x" + "f" * 9000 + "}",
    "metrics: {? [a] : 1}",
    'description: "\\ud800"',
    "description: !!python/object/apply:os.getcwd []",
    "description: 2024-13-45",
    "description: [1, 2]",
    "license: " + "x" * 70_000,
    "<<: {a: 1}",
    "a: 1\na: 2",
    "? a",
    "- a",
    "\t",
    "%YAML 9.9",
    "---",
    "\x00",
    "\ufeff",
]
#: A bundled folder takes longer to copy and to load, so there are fewer of them.
_BUNDLED = 0.15


def damage_file(choose: random.Random, path: Path) -> None:
    """Damage a file by what it is: its JSON, its header and numbers, its front matter, or its bytes."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(_damaged_content(choose, path.suffix, content))


def _damaged_content(choose: random.Random, suffix: str, content: bytes) -> bytes:
    if choose.random() < 0.15:
        return damaged_bytes(choose, content)
    if suffix == ".json":
        return damaged(choose, json.loads(content))
    if suffix == ".safetensors":
        return mutated(choose, [content])
    if suffix == ".md":
        matter = choose.choice(_FRONT_MATTER).encode()
        return choose.choice([b"---\n" + matter + b"\n---\n", content.replace(b"---\n", b"---\n" + matter + b"\n", 1)])
    if content.startswith(b"PK"):
        return _damaged_archive(choose, content)
    return damaged_bytes(choose, content)


def _damaged_archive(choose: random.Random, content: bytes) -> bytes:
    """Damage one member of an archive, so that the archive itself can be read."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        names = old.namelist()
        chosen = choose.choice(names)
        for name in names:
            member = old.read(name)
            if name == chosen and name.endswith(".json") and choose.random() < 0.7:
                member = damaged(choose, json.loads(member))
            elif name == chosen:
                member = damaged_bytes(choose, member)
            new.writestr(f"{name}x" if name == chosen and choose.random() < 0.1 else name, member)
    return made.getvalue()


def _special(choose: random.Random, path: Path) -> None:
    """Put something that is no regular file in the place of a file, or nothing."""
    path.unlink()
    kinds: list[Callable[[], object]] = [
        lambda: None,
        lambda: os.mkfifo(path),
        path.mkdir,
        lambda: path.symlink_to("/dev/zero"),
        lambda: path.symlink_to(path.name),
        lambda: _make_sparse(path, choose.choice([0, 2**30, 2**36])),
    ]
    choose.choice(kinds)()


def _make_sparse(path: Path, size: int) -> None:
    """Make a file that is long and takes no space."""
    path.touch()
    os.truncate(path, size)


def spoil_folder(choose: random.Random, source: Path, folder: Path) -> str:
    """Copy a version's folder with damage to one or two of its files; returns what was damaged."""
    folder.mkdir(parents=True)
    for path in source.iterdir():
        (folder / path.name).symlink_to(path.resolve())
    chosen = choose.sample(sorted(path.name for path in folder.iterdir()), choose.choice([1, 1, 1, 2]))
    for name in chosen:
        if choose.random() < 0.05:
            _special(choose, folder / name)
        else:
            damage_file(choose, folder / name)
    return f"{source.parent.name}: {', '.join(chosen)}"


def write_sources(folder: Path) -> list[Path]:
    """Write small good folders, one of each kind of network, and return them."""
    write: Callable[[str], Any] = lambda name: importlib.import_module(f"tests.{name}")  # noqa: E731 - each imports torch
    write("folders").write_language_model(folder, "words")
    write("forecast_folders").write_forecaster(folder, "sensor")
    write("translation_folders").write_encoder_decoder(folder, "mt", words=(["a", "b", "c"], ["x", "y", "z"]))
    write("encoder_folders").write_encoder(folder, "labels", "classification")
    write("onnx_folders").write_stream(folder)
    return sorted(path for path in folder.glob("*/1"))


def write_checkpoints(folder: Path) -> list[Path]:
    """Write small good checkpoints of several formats, and return them."""
    torch, numpy = importlib.import_module("torch"), importlib.import_module("numpy")
    torch.manual_seed(0)
    network = torch.nn.ModuleDict(
        {"embedding": torch.nn.Embedding(9, 4), "rnn": torch.nn.LSTM(4, 5), "head": torch.nn.Linear(5, 9)}
    )
    state = network.state_dict()
    torch.save({"state_dict": state, "epoch": 3}, folder / "network.pt")
    torch.save(state, folder / "old.pt", _use_new_zipfile_serialization=False)
    numpy.savez(folder / "network.npz", **{name: tensor.numpy() for name, tensor in state.items()})
    numpy.save(folder / "weight.npy", state["head.weight"].numpy())
    importlib.import_module("safetensors.torch").save_file(state, folder / "network.safetensors")
    h5py = importlib.import_module("h5py")
    with h5py.File(folder / "network.h5", "w") as file:
        for name, tensor in state.items():
            file[name.replace(".", "/")] = tensor.numpy()
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": []}})
    onnx_folders = importlib.import_module("tests.onnx_folders")
    (folder / "sum.onnx").write_bytes(onnx_folders.running_sum().SerializeToString())
    return sorted(folder.iterdir())


@dataclass(slots=True)
class _Cases:
    """What is damaged: folders and checkpoints, in a temporary folder."""

    root: Path
    small: list[Path] = field(default_factory=list)
    bundled: list[Path] = field(default_factory=list)
    checkpoints: list[Path] = field(default_factory=list)

    @classmethod
    def write(cls, root: Path, models: Path) -> "_Cases":
        bundled = sorted(path.resolve() for path in models.glob("*/1") if not path.parent.name.startswith("hostile"))
        for name in ("small", "checkpoints"):
            (root / name).mkdir()
        return cls(root, write_sources(root / "small"), bundled, write_checkpoints(root / "checkpoints"))

    def case(self, choose: random.Random, place: Path) -> tuple[str, list[str]]:
        """Write one case, and return its kind and the arguments of a command."""
        if choose.random() < 0.5:
            source = choose.choice(self.bundled if self.bundled and choose.random() < _BUNDLED else self.small)
            folder = place / "model" / "1"
            return spoil_folder(choose, source, folder), ["verify", str(folder)]
        source = choose.choice(self.checkpoints)
        path = place / source.name
        shutil.copyfile(source, path)
        damage_file(choose, path)
        return source.name, ["inspect", str(path)]


@dataclass(frozen=True)
class DamagedFiles:
    """Verifies damaged folders and inspects damaged checkpoints, each of which may only be refused in one line."""

    name: str = "damaged-files"
    family: str = "files"

    def prepare(self) -> None:
        """Import what all forked processes need."""
        import_commands()

    async def run(self, target: Target, tally: Tally) -> None:
        with tempfile.TemporaryDirectory(prefix="unroll-attack-") as name:
            root = Path(name)
            cases = _Cases.write(root, target.models)
            for numbers in _batches(target.count, tally):
                folder = root / "batch"
                folder.mkdir()

                def write(number: int, place: Path) -> tuple[str, list[str]]:
                    return cases.case(random.Random(f"{self.name} {target.seed} {number}"), place)

                run_batch(numbers, write, folder, tally)
                shutil.rmtree(folder, ignore_errors=True)
                await asyncio.sleep(0)


def _batches(most: int, tally: Tally) -> Iterator[list[int]]:
    """Yield the numbers of the cases until there are as many as wanted, or the time is over."""
    starts = takewhile(lambda start: start < most and tally.running(), count(0, BATCH))
    for start in starts:
        yield list(islice(count(start), min(BATCH, most - start)))
