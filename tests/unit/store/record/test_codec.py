"""Binary format of records."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import StateCorrupted
from service.domain.sessions import KeptStep, LastStep, Record, SessionSummary
from service.store.record.codec import (
    HEAD_BYTES,
    HEADER_BYTES,
    RecordOwner,
    Tombstone,
    decode,
    decode_head,
    encode,
    encode_tombstone,
)

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
    with pytest.raises(StateCorrupted, match="format version 3, expected 2"):
        decode(data[:4] + b"\x03\x00" + data[6:], OWNER)


def test_a_foreign_value_is_refused_by_its_beginning() -> None:
    with pytest.raises(StateCorrupted, match=r"starts with b'{\"a\"', expected b'UnrS' or b'UnrE'"):
        decode(b'{"a": 1}', OWNER)


def test_a_record_without_answer_and_keys_takes_at_most_200_bytes_beyond_its_state() -> None:
    plain = replace(SAMPLE, model="m" * 64, origin=b"", keys=(), last=None, kept=(), state=bytes(4096))
    assert len(encode(plain, OWNER)) - 4096 <= 200


def test_a_tombstone_remembers_when_its_session_ended() -> None:
    assert decode(TOMBSTONE, OWNER) == Tombstone(ended_at=1_900_000_000_000, created_at=1_800_000_000_000)


@pytest.mark.parametrize("changes", [{"dtype": "complex64"}, {"fingerprint": "ab"}, {"fingerprint": "x" * 64}])
def test_what_the_format_cannot_say_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"dtype|fingerprint|hexadecimal"):
        encode(replace(SAMPLE, **changes), OWNER)
