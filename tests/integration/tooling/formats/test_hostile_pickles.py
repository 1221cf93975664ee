"""Pickles that call functions when they are loaded, in each format: nothing is called, nothing is imported."""

import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from service.domain.errors import ModelFolderError
from service.tooling.formats.pytorch.legacy_file import MAGIC
from service.tooling.formats.registry import read_network
from tests.integration.tooling.formats.hostile_pickles import CALLS, WAYS, hostile_pickle, proof

Write = Callable[[Path, bytes], None]


def torch_zip(path: Path, content: bytes) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", content)


def torchscript(path: Path, content: bytes) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", content)
        file.writestr("archive/constants.pkl", content)
        file.writestr("archive/code/__torch__.py", "import os\nos.mkdir('ran')\n")


def legacy(path: Path, content: bytes) -> None:
    header = b"".join(pickle.dumps(value, 2) for value in (MAGIC, 1001, {"little_endian": True}))
    path.write_bytes(header + content + pickle.dumps([], 2))


def array_of_objects(content: bytes) -> bytes:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


def numpy_array(path: Path, content: bytes) -> None:
    path.write_bytes(array_of_objects(content))


def numpy_archive(path: Path, content: bytes) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("weights.npy", array_of_objects(content))


FORMATS: dict[str, Write] = {
    "torch.save": torch_zip,
    "torch.jit.save": torchscript,
    "torch.save before 1.6": legacy,
    "pickle.dump": lambda path, content: path.write_bytes(content) and None,
    "numpy.save": numpy_array,
    "numpy.savez": numpy_archive,
}


def read(path: Path) -> None:
    """Read a file, which may be refused."""
    try:
        read_network(path)
    except ModelFolderError as error:
        assert str(path) in str(error)  # noqa: PT017 some are read


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", FORMATS)
def test_no_call_of_a_file_is_made(tmp_path: Path, name: str, call: str) -> None:
    modules = set(sys.modules)
    for way in WAYS:
        path = tmp_path / f"{WAYS.index(way)}.bin"
        FORMATS[name](path, hostile_pickle(call, way, tmp_path / "ran"))
        read(path)
    assert not (tmp_path / "ran").exists()
    assert not {
        module for module in set(sys.modules) - modules if module.startswith(("runpy", "timeit", "bdb", "tests"))
    }


def test_the_pickles_of_these_tests_have_an_effect_elsewhere(tmp_path: Path) -> None:
    proof(tmp_path / "ran")


class Runs:
    """Runs a text when a pickle of it is loaded."""

    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("raise SystemExit('it ran')",)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("zipped", [True, False])
def test_the_weights_beside_a_call_are_read_and_the_function_is_named(
    tmp_path: Path, zipped: bool, protocol: int
) -> None:
    value = {"net": {"w": torch.arange(6.0).view(2, 3)}, "extra": Runs()}
    torch.save(value, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    network = read_network(tmp_path / "x.pt")
    assert torch.equal(network.tensors["w"], torch.arange(6.0).view(2, 3))
    assert "classes and functions that the file names, none of them opened: builtins.exec" in network.notes


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "instructions",
    [
        b"c__builtin__\nbytearray\n\x8a\x05\x00\x00\x00\x00\x01\x85R",
        b"ctorch\nzeros\n\x8a\x05\x00\x00\x00\x00\x01\x85R",
        b"cnumpy\nzeros\n\x8a\x05\x00\x00\x00\x00\x01\x85R",
        b"c__builtin__\nrange\n\x8a\x05\x00\x00\x00\x00\x01\x85R",
    ],
)
def test_no_memory_is_allocated_for_a_call(tmp_path: Path, name: str, instructions: bytes) -> None:
    FORMATS[name](tmp_path / "x.bin", b"\x80\x02}X\x01\x00\x00\x00a" + instructions + b"s.")
    with pytest.raises(ModelFolderError, match=r"expected (a state dict|arrays|a pickle)"):
        read_network(tmp_path / "x.bin")
