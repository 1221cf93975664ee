"""The reader of pickles: plain values come out as they are, everything else as an inert record."""

import collections
import io
import pickle
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.tooling.pickles.budget import PickleBudget
from service.tooling.pickles.construction import MAX_KEY_VALUES
from service.tooling.pickles.reader import read_pickle
from service.tooling.pickles.values import Global, Instance, Mentions, PickleError, Reference

hashable = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.tuples(inner, inner) | st.lists(inner, max_size=5).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)
values = st.recursive(
    hashable,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.dictionaries(hashable, inner, max_size=4).map(collections.OrderedDict)
        | st.sets(hashable, max_size=3)
        | st.binary(max_size=4).map(bytearray)
        | st.complex_numbers(allow_nan=False)
    ),
    max_leaves=12,
)


def read(content: bytes, **budget: int) -> Any:
    return read_pickle(io.BytesIO(content), PickleBudget(**budget))


class Plain:
    """A class with attributes."""

    def __init__(self) -> None:
        self.size = 3


class Slots:
    """A class with slots and attributes."""

    __slots__ = ("__dict__", "size")

    def __init__(self) -> None:
        self.size = 3
        self.name = "x"


class Listed(list[int]):
    """A list of a class of its own."""


class Keyed(dict[str, int]):
    """A dictionary of a class of its own."""


@given(value=values, protocol=st.integers(0, 5))
def test_plain_values_come_out_as_they_are(value: Any, protocol: int) -> None:
    assert read(pickle.dumps(value, protocol)) == value


@given(value=values, protocol=st.integers(0, 5), data=st.data())
@settings(max_examples=300)
def test_a_damaged_pickle_is_read_or_refused(value: Any, protocol: int, data: st.DataObject) -> None:
    content = bytearray(pickle.dumps([value, Plain()], protocol))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(bytes(content))
    except PickleError as error:
        assert str(error)  # noqa: PT017 many are read


@given(content=st.binary(max_size=200))
@settings(max_examples=300)
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for start in (b"", b"\x80\x02", b"\x80\x04"):
        try:
            read(start + content)
        except PickleError as error:
            assert str(error)  # noqa: PT017 some are read


@pytest.mark.parametrize("protocol", range(6))
def test_an_object_becomes_a_record_of_its_class_and_attributes(protocol: int) -> None:
    record = read(pickle.dumps(Plain(), protocol))
    assert isinstance(record, Instance)
    assert (record.name, record.attributes) == (f"{__name__}.Plain", {"size": 3})


@pytest.mark.parametrize("protocol", range(2, 6))
def test_the_state_of_slots_is_kept(protocol: int) -> None:
    assert read(pickle.dumps(Slots(), protocol)).attributes == {"size": 3, "name": "x"}


@pytest.mark.parametrize("protocol", range(6))
def test_items_of_foreign_lists_and_dictionaries_are_kept(protocol: int) -> None:
    assert read(pickle.dumps(Listed([1, 2]), protocol)).items == [1, 2]
    assert read(pickle.dumps(Keyed(a=1), protocol)).entries == {"a": 1}


@pytest.mark.parametrize("protocol", range(6))
def test_calls_become_records_of_their_arguments(protocol: int) -> None:
    record = read(pickle.dumps(PurePosixPath("a/b"), protocol))
    assert (record.name, record.arguments) == ("pathlib.PurePosixPath", ("a", "b"))


def test_shared_and_cyclic_values_stay_so() -> None:
    cycle: list[Any] = [[1]]
    cycle += [cycle[0], cycle]
    copy = read(pickle.dumps(cycle))
    assert copy[0] is copy[1]
    assert copy[2] is copy


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_imported_names_and_references_are_mentioned(protocol: int) -> None:
    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            return "key" if value == "outside" else None

    content, mentions = io.BytesIO(), Mentions()
    Pickler(content, protocol).dump([collections.Counter, Plain(), "outside"])
    value = read_pickle(io.BytesIO(content.getvalue()), PickleBudget(), mentions)
    assert isinstance(value[0], Global)
    assert isinstance(value[2], Reference)
    assert {"collections.Counter", f"{__name__}.Plain"} <= mentions.globals.keys()
    assert [reference.key for reference in mentions.references] == ["key"]


def test_the_reader_stops_behind_the_pickle() -> None:
    file = io.BytesIO(pickle.dumps(1) + pickle.dumps(2) + b"rest")
    assert [read_pickle(file, PickleBudget()) for _ in range(2)] == [1, 2]
    assert file.read() == b"rest"


@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"(cos\nsystem\nS'true'\no.",
        b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85\x81.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85}\x92.",
    ],
    ids=["REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX"],
)
def test_every_instruction_that_calls_leaves_a_record(content: bytes) -> None:
    record = read(content)
    assert (record.name, record.arguments) == ("os.system", ("true",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02}" + b"N" + b"\x85" * 1000 + b"K\x01s.", "a key of more than"),
        (b"\x80\x02}]K\x01s.", "a key that is a list"),
        (b"\x80\x04\x8f(]\x90.", "a key that is a list"),
        (b"\x80\x02N}b\x80\x02NNa.", "a NoneType that is changed"),
        (b"\x80\x02\x82\x01.", "the instruction EXT1"),
        (b"\x80\x05\x97.", "the instruction NEXT_BUFFER"),
        (b"\x80\x02", "damaged"),
        (b"", "damaged"),
        (b".", "damaged"),
        (b"\x80\x02NR.", "damaged"),
        (b"\x80\x02NNR.", "a call without a tuple"),
        (b"\x80\x02h\x05.", "damaged"),
        (b"\x80\x02t.", "damaged"),
        (b"\x80\x02(K\x01d.", "damaged"),
        (b"\x80\x02\x8a\xff", "damaged"),
        (b"\x80\x02X\xff\xff\xff\xff", "bytes"),
        (b"\x80\x04\x8d" + b"\xff" * 8, "damaged"),
        (b"I" + b"9" * 10_000 + b"\n.", "damaged"),
    ],
)
def test_a_pickle_that_cannot_be_read_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(PickleError, match=message):
        read(content)


def test_instructions_bytes_and_copies_are_limited() -> None:
    many = pickle.dumps([[index] for index in range(1000)])
    for budget in ({"max_instructions": 1000}, {"max_bytes": 1000}):
        with pytest.raises(PickleError, match="more than 1000"):
            read(many, **budget)
    copies = b"\x80\x02](" + b"N" * 100 + b"eq\x00" + b"c__builtin__\nlist\nh\x00\x85R0" * 100 + b"."
    with pytest.raises(PickleError, match="more than 5000"):
        read(copies, max_instructions=5000)
    assert read(copies)


def test_the_values_of_a_key_are_limited() -> None:
    wide = tuple(range(MAX_KEY_VALUES - 1))
    with pytest.raises(PickleError, match="a key"):
        read(pickle.dumps({(*wide, 1): 1}))
    assert read(pickle.dumps({wide[1:]: 1})) == {wide[1:]: 1}
