"""The scan of pickles before they are loaded."""

import collections
import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import ModelFolderError
from service.tooling.pickles.pickle_scan import MAX_TUPLE_DEPTH, scan_pickles

hashable = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.tuples(inner, inner) | st.lists(inner, max_size=5).map(tuple),
    max_leaves=6,
)
values = st.recursive(
    hashable,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(hashable, inner, max_size=4) | st.sets(hashable, max_size=3)
    ),
    max_leaves=12,
)

#: What older protocols import for sets and bytes.
PLAIN = {"builtins.set", "__builtin__.set", "__builtin__.bytes", "_codecs.encode"}


def scan(content: bytes, name: str = "weights.pt") -> list[str]:
    return scan_pickles(Path(name), io.BytesIO(content))  # type: ignore[arg-type]


@given(value=values, protocol=st.integers(0, 5))
def test_plain_values_pass(value: Any, protocol: int) -> None:
    assert set(scan(pickle.dumps(value, protocol))) <= PLAIN


@given(content=st.binary(max_size=200))
def test_any_bytes_pass_or_are_refused(content: bytes) -> None:
    for start in (b"", b"\x80\x02", b"PK\x03\x04"):
        try:
            scan(start + content)
        except ModelFolderError as error:
            assert "weights.pt: found" in str(error)  # noqa: PT017 most pass


@pytest.mark.parametrize("protocol", [2, 4])
def test_imports_are_named(protocol: int) -> None:
    content = pickle.dumps([collections.Counter, io.BytesIO, collections.Counter], protocol)
    assert {*scan(content)} == {"collections.Counter", "_io.BytesIO"}


def test_the_tensors_of_a_checkpoint_pass_in_both_formats(tmp_path: Path) -> None:
    for zipped in (True, False):
        torch.save(
            {"a": torch.zeros(3), "b": [torch.ones(2)]}, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped
        )
        with (tmp_path / "x.pt").open("rb") as file:
            assert "torch._utils._rebuild_tensor_v2" in scan_pickles(tmp_path / "x.pt", file)
            assert file.tell() == 0


def test_the_depth_of_tuples_is_limited_wherever_they_come_from() -> None:
    deep = b"N" + b"\x85" * MAX_TUPLE_DEPTH
    scan(b"\x80\x02" + deep + b".")
    for content in (
        deep + b"\x85.",
        b"(" + deep + b"t.",
        deep + b"K\x01\x86.",
        b"K\x01K\x01" + deep + b"\x87.",
        deep + b"q\x07h\x07\x85.",
        deep + b"2\x85.",
        deep + b"\x94h\x00\x85.",
    ):
        with pytest.raises(ModelFolderError, match="tuples nested"):
            scan(b"\x80\x04" + content)
