"""Files of preprocessing whose pickles call functions: nothing is called, nothing is imported."""

import gzip
import io
import pickle
import sys
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from service.domain.errors import ModelFolderError
from service.tooling.preprocessing.reader import read_preprocessing
from tests.integration.tooling.formats.hostile_pickles import CALLS, WAYS, hostile_pickle, instructions, proof, text


def torch_zip(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", content)
    return file.getvalue()


#: An object of joblib, whose array of objects is a pickle behind it.
WRAPPER = (
    b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}("
    + text("dtype")
    + b"cnumpy\ndtype\n("
    + text("O")
    + b"tR"
    + text("shape")
)
ENVELOPES: dict[str, Callable[[bytes], bytes]] = {
    "pickle.dump": lambda content: content,
    "torch.save": torch_zip,
    "joblib.dump": lambda content: b"\x80\x04" + WRAPPER + b"K\x01\x85ub" + content + b".",
    "joblib.dump compressed": zlib.compress,
    "gzip": gzip.compress,
}


def read(path: Path) -> None:
    """Read a file, which may be refused."""
    try:
        read_preprocessing(path)
    except ModelFolderError as error:
        assert str(path) in str(error)  # noqa: PT017 some are read


@pytest.mark.parametrize("name", ENVELOPES)
@pytest.mark.parametrize("call", CALLS)
def test_no_call_of_a_file_is_made(tmp_path: Path, name: str, call: str) -> None:
    modules = set(sys.modules)
    for index, way in enumerate(WAYS):
        path = tmp_path / f"{index}.bin"
        path.write_bytes(ENVELOPES[name](hostile_pickle(call, way, tmp_path / "ran")))
        read(path)
    assert not (tmp_path / "ran").exists()
    assert not {name for name in set(sys.modules) - modules if name.startswith(("runpy", "timeit", "bdb", "tests.no"))}


@pytest.mark.parametrize(
    "kind", ["sklearn.preprocessing._data\nMinMaxScaler", "torchtext.vocab\nVocab", "keras.text\nTokenizer"]
)
def test_no_call_within_an_object_of_a_library_is_made(tmp_path: Path, kind: str) -> None:
    for way in WAYS:
        call = instructions("eval", way, tmp_path / "ran")
        state = b"}(" + b"".join(text(name) + call for name in ("scale_", "min_", "itos", "word_index")) + b"u"
        (tmp_path / "s.pkl").write_bytes(b"\x80\x04c" + kind.encode() + b"\n)\x81" + state + b"b.")
        read(tmp_path / "s.pkl")
    assert not (tmp_path / "ran").exists()


def test_the_calls_would_have_an_effect(tmp_path: Path) -> None:
    proof(tmp_path / "ran")


def test_what_unpacks_to_much_more_is_refused(tmp_path: Path) -> None:
    content = zlib.compress(b"\x80\x04" + b"N0" * 2**27, 9)
    (tmp_path / "bomb.joblib").write_bytes(content)
    tracemalloc.start()
    try:
        assert read_preprocessing(tmp_path / "bomb.joblib") == []
        assert tracemalloc.get_traced_memory()[1] < 2**28
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [(2**40,), (-1,), ("x",), (2,) * 40])
def test_a_lying_shape_takes_no_memory(tmp_path: Path, shape: tuple[object, ...]) -> None:
    state = pickle.dumps({"shape": shape}, 2)[2:-1]
    content = b"\x80\x04cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81" + state + b"b."
    (tmp_path / "s.joblib").write_bytes(content)
    assert read_preprocessing(tmp_path / "s.joblib") == []
