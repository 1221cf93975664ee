"""Arrays without PyTorch: files of numpy, pickles of arrays, and JSON."""

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.domain.errors import ModelFolderError
from service.tooling.formats.registry import read_network

WEIGHTS = {"rnn.weight_ih_l0": np.arange(12.0).reshape(4, 3), "rnn.bias_ih_l0": np.ones(4, np.float32)}
numbers = arrays.arrays(
    st.sampled_from(["<f2", ">f4", "<f8", ">f8", "i1", "<i4", ">i8", "u1", "?"]),
    arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


def assert_weights(path: Path) -> None:
    tensors = read_network(path).tensors
    assert list(tensors) == list(WEIGHTS)
    assert all(torch.equal(tensors[name], torch.from_numpy(array)) for name, array in WEIGHTS.items())


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickled_dictionary_of_arrays_is_read(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(WEIGHTS, protocol))
    assert_weights(tmp_path / "x.pkl")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_are_read(tmp_path: Path, save: object) -> None:
    save(tmp_path / "x.npz", **WEIGHTS)  # type: ignore[operator]
    assert_weights(tmp_path / "x.npz")


def test_a_dictionary_within_an_array_of_objects_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", WEIGHTS, allow_pickle=True)  # type: ignore[arg-type]
    assert_weights(tmp_path / "x.npy")
    np.savez(tmp_path / "x.npz", weights=WEIGHTS)  # type: ignore[arg-type]
    assert_weights(tmp_path / "x.npz")


def test_json_of_nested_lists_is_read(tmp_path: Path) -> None:
    values = {"rnn": {"weight_ih_l0": [[1, 2.5], [3, 4]], "bias_ih_l0": [1, 2]}, "note": "x", "ragged": [[1], [2, 3]]}
    (tmp_path / "x.json").write_text(json.dumps(values))
    tensors = read_network(tmp_path / "x.json").tensors
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {
        "rnn.weight_ih_l0": [[1, 2.5], [3, 4]],
        "rnn.bias_ih_l0": [1, 2],
    }


@given(array=numbers, protocol=st.integers(0, 5), fortran=st.booleans())
@settings(deadline=None)
def test_any_array_of_numbers_comes_out_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, protocol: int, fortran: bool
) -> None:
    path, ordered = tmp_path_factory.mktemp("x") / "x.bin", np.asfortranarray(array) if fortran else array
    ordered = ordered.reshape(array.shape)
    path.write_bytes(pickle.dumps({"a": ordered, "b": np.ones((1, 1))}, protocol))
    pickled = read_network(path).tensors
    np.savez(path.with_suffix(".npz"), a=ordered, b=np.ones((1, 1)))
    archived = read_network(path.with_suffix(".npz")).tensors
    for tensors in (pickled, archived):
        if array.ndim > 1:
            assert np.array_equal(tensors["a"].numpy(), array, equal_nan=True)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }", "an array of shape"),
        (b"{'descr': '<f8', 'fortran_order': False, 'shape': (" + b"9" * 30 + b",), }", "whose shape is none"),
        (b"{'descr': '<f8', 'fortran_order': False, 'shape': (" + b"1, " * 1000 + b"), }", "whose shape is none"),
        (b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }", "an array of another kind"),
        (b"{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", "only plain numbers"),
        (b"{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }", "an array of another kind"),
        (b"(" * 30000 + b")" * 30000, "an array of another kind"),
        (b"__import__('os').mkdir('ran')", "an array of another kind"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path: Path, header: bytes, message: str) -> None:
    content = b"\x93NUMPY\x02\x00" + len(header).to_bytes(4, "little") + header + bytes(8)
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(ModelFolderError, match=message):
        read_network(tmp_path / "x.npy")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        file.writestr("a.npy", content)
    with pytest.raises(ModelFolderError, match=message):
        read_network(tmp_path / "x.npz")


def test_a_compressed_bomb_is_refused(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as file,
        file.open("a.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(64):
            member.write(bytes(2**24))
    with pytest.raises(ModelFolderError, match=r"found (tensors that take|values that take)"):
        read_network(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"class_name": "Sequential", "config": {}}', "the layers of a Keras model, without its weights"),
        ('{"a": "b"}', "JSON without arrays"),
        ("{", "no readable JSON"),
        ('{"a": ' + "[" * 40 + "]" * 40 + "}", "more than 32 levels"),
        ('{"a": [[1], [2, 3]], "b": [true], "c": [], "d": [[]]}', "JSON without arrays"),
    ],
)
def test_json_without_weights_is_told_for_what_it_is(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ModelFolderError, match=message):
        read_network(tmp_path / "x.json")


def test_one_array_is_no_network(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones(3))
    with pytest.raises(ModelFolderError, match="one array without a name"):
        read_network(tmp_path / "x.npy")
