"""Binary format of records."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import StateCorrupted
from service.domain.sessions import KeptStep, LastStep, Record, SessionSummary
from service.store.record.codec import (
    HEAD_BYTES,
    HEADER_BYTES,
    Tombstone,
    decode,
    decode_head,
    encode,
    encode_tombstone,
)
from service.store.record.owner import RecordOwner

OWNER = RecordOwner("tenant", "ses_a")
SAMPLE = Record(
    model="next-word",
    version="3",
    fingerprint="5a" * 32,
    dtype="float32",
    step=7,
    timesteps=41,
    created_at=1_900_000_000_000,
    expires_at=1_900_000_600_000,
    ttl_seconds=600,
    durability="fsynced",
    kept_steps=2,
    state=b"state",
    origin=b"o" * 16,
    keys=(b"k" * 16, b"l" * 16),
    last=LastStep(step=6, key_digest=b"l" * 16, body_digest=b"b" * 16, answer=b"{}"),
    kept=(KeptStep(step=5, timesteps=30, state=b"older"), KeptStep(step=6, timesteps=35, state=b"old")),
    indexed_until=1_900_000_751_000,
)

TOMBSTONE = encode_tombstone(1_900_000_000_000, 1_800_000_000_000, OWNER)

#: Records and a tombstone of OWNER in hexadecimal, as the last version that wrote format 2 encoded them.
FORMAT_2 = {
    name: bytes.fromhex(data)
    for name, data in json.loads(Path(__file__).with_name("format_2.json").read_text()).items()
}
_MAX = 2**64 - 1
FORMAT_2_RECORDS = {
    "everything": SAMPLE,
    "nothing optional": replace(
        SAMPLE, origin=b"", keys=(), last=None, kept=(), kept_steps=0, durability="memory", dtype="bfloat16"
    ),
    "largest numbers": replace(
        SAMPLE,
        model="é" * 127,
        version="v" * 255,
        dtype="int8",
        step=_MAX,
        timesteps=_MAX,
        created_at=_MAX,
        expires_at=_MAX,
        ttl_seconds=2**32 - 1,
        durability="replicated",
        indexed_until=_MAX,
    ),
}

counts = st.integers(0, 2**64 - 1)
digests = st.binary(min_size=16, max_size=16)
records = st.builds(
    Record,
    model=st.text(max_size=64),
    version=st.text(max_size=16),
    fingerprint=st.binary(min_size=32, max_size=32).map(bytes.hex),
    dtype=st.sampled_from(["float32", "bfloat16", "float16", "float64", "int8"]),
    step=counts,
    timesteps=counts,
    created_at=counts,
    expires_at=counts,
    ttl_seconds=st.integers(0, 2**32 - 1),
    durability=st.sampled_from(["memory", "replicated", "fsynced"]),
    kept_steps=st.integers(0, 64),
    state=st.binary(max_size=300),
    origin=st.just(b"") | digests,
    keys=st.lists(digests, max_size=32).map(tuple),
    last=st.none() | st.builds(LastStep, counts, st.just(b"") | digests, digests, st.binary(max_size=300)),
    kept=st.lists(st.builds(KeptStep, counts, counts, st.binary(max_size=100)), max_size=4).map(tuple),
    indexed_until=counts,
)


@given(records)
def test_every_record_comes_back_as_it_was(record: Record) -> None:
    data = encode(record, OWNER)
    assert decode(data, OWNER) == replace(record, token=data)


@given(records)
def test_a_listing_is_told_the_same_by_the_first_bytes_alone(record: Record) -> None:
    summary = decode_head(encode(record, OWNER)[:HEAD_BYTES], OWNER)
    assert isinstance(summary, SessionSummary)
    assert all(getattr(summary, field.name) == getattr(record, field.name) for field in fields(summary))


@pytest.mark.parametrize("name", ["m" * 255, "é" * 127])
def test_the_first_bytes_have_room_for_names_of_any_file_system(name: str) -> None:
    summary = decode_head(encode(replace(SAMPLE, model=name, version=name), OWNER)[:HEAD_BYTES], OWNER)
    assert isinstance(summary, SessionSummary)
    assert (summary.model, summary.version) == (name, name)


def test_no_bit_of_what_a_listing_tells_can_flip_unnoticed() -> None:
    data = encode(SAMPLE, OWNER)
    beginning = data.index(SAMPLE.state)
    for bit in range(beginning * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(StateCorrupted):
            decode_head(bytes(flipped), OWNER)
    assert isinstance(decode_head(data[:beginning], OWNER), SessionSummary)


def test_two_encodings_of_one_record_have_different_tokens() -> None:
    assert len({encode(SAMPLE, OWNER)[:HEADER_BYTES] for _ in range(100)}) == 100


@pytest.mark.parametrize("data", [encode(SAMPLE, OWNER), TOMBSTONE], ids=["record", "tombstone"])
def test_no_single_bit_can_flip_unnoticed(data: bytes) -> None:
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(StateCorrupted):
            decode(bytes(flipped), OWNER)


@pytest.mark.parametrize("data", [encode(SAMPLE, OWNER), TOMBSTONE], ids=["record", "tombstone"])
def test_no_end_can_be_missing_or_added_unnoticed(data: bytes) -> None:
    for length in range(len(data)):
        with pytest.raises(StateCorrupted):
            decode(data[:length], OWNER)
    with pytest.raises(StateCorrupted):
        decode(data + b"\0", OWNER)


@given(st.binary(max_size=200))
def test_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(StateCorrupted):
        decode(data, OWNER)


@pytest.mark.parametrize("data", [encode(SAMPLE, OWNER), TOMBSTONE], ids=["record", "tombstone"])
@pytest.mark.parametrize(
    "other", [RecordOwner("tenant", "ses_b"), RecordOwner("other", "ses_a"), RecordOwner("tenants", "es_a")]
)
def test_another_sessions_record_is_foreign(data: bytes, other: RecordOwner) -> None:
    with pytest.raises(StateCorrupted, match="by its content and its session"):
        decode(data, other)


def test_a_newer_format_is_refused_by_its_number() -> None:
    data = encode(SAMPLE, OWNER)
    with pytest.raises(StateCorrupted, match="format version 4, expected 2 or 3"):
        decode(data[:4] + b"\x04\x00" + data[6:], OWNER)
    with pytest.raises(StateCorrupted, match="format version 3, expected 2"):
        decode(TOMBSTONE[:4] + b"\x03\x00" + TOMBSTONE[6:], OWNER)


@pytest.mark.parametrize("name", FORMAT_2_RECORDS)
def test_a_record_of_format_2_is_read(name: str) -> None:
    data = FORMAT_2[name]
    record = replace(FORMAT_2_RECORDS[name], token=data)
    assert decode(data, OWNER) == record
    summary = decode_head(data[:HEAD_BYTES], OWNER)
    assert isinstance(summary, SessionSummary)
    assert all(getattr(summary, field.name) == getattr(record, field.name) for field in fields(summary))


@pytest.mark.parametrize("name", FORMAT_2_RECORDS)
def test_no_single_bit_of_format_2_can_flip_and_no_end_be_missing_unnoticed(name: str) -> None:
    data = FORMAT_2[name]
    damaged = [data[:length] for length in range(len(data))] + [data + b"\0"]
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for damage in damaged:
        with pytest.raises(StateCorrupted):
            decode(damage, OWNER)


def test_a_record_of_format_2_of_another_session_is_foreign() -> None:
    for owner in (RecordOwner("tenant", "ses_b"), RecordOwner("other", "ses_a"), RecordOwner("tenants", "es_a")):
        with pytest.raises(StateCorrupted, match="by its content and its session"):
            decode(FORMAT_2["everything"], owner)


def test_a_tombstone_of_an_earlier_version_is_read() -> None:
    assert FORMAT_2["tombstone"] == TOMBSTONE


def test_a_foreign_value_is_refused_by_its_beginning() -> None:
    with pytest.raises(StateCorrupted, match=r"starts with b'{\"a\"', expected b'UnrS' or b'UnrE'"):
        decode(b'{"a": 1}', OWNER)


def test_a_record_without_answer_and_keys_takes_at_most_100_bytes_beyond_its_state_and_names() -> None:
    plain = replace(SAMPLE, model="", version="", origin=b"", keys=(), last=None, kept=(), state=bytes(4096))
    assert len(encode(plain, OWNER)) - 4096 <= 100


@pytest.mark.parametrize("number", [-1, 2**70])
def test_a_number_that_no_field_can_hold_is_refused(number: int) -> None:
    with pytest.raises(OverflowError):
        encode(replace(SAMPLE, step=number), OWNER)


def test_a_tombstone_remembers_when_its_session_ended() -> None:
    assert decode(TOMBSTONE, OWNER) == Tombstone(ended_at=1_900_000_000_000, created_at=1_800_000_000_000)


@pytest.mark.parametrize("changes", [{"dtype": "complex64"}, {"fingerprint": "ab"}, {"fingerprint": "x" * 64}])
def test_what_the_format_cannot_say_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"dtype|fingerprint|hexadecimal"):
        encode(replace(SAMPLE, **changes), OWNER)
