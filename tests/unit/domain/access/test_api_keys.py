"""Files of API keys: what they may have, and what is told of those that are wrong."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.domain.access.api_keys import (
    ApiKey,
    digest_of,
    format_keys,
    limits_of_tenants,
    new_key,
    parse_keys,
    read_keys,
)
from service.domain.errors import SettingsError

SECRET = new_key()
DIGEST = f"sha256:{digest_of(SECRET.encode()).hex()}"
LEAST: dict[str, Any] = {"id": "k1", "tenant": "alice", "digest": DIGEST, "created_at": "2026-01-02T03:04:05Z"}
KEY = ApiKey("k1", "alice", digest_of(SECRET.encode()), 1_767_323_045_000)


def parse(*entries: object) -> tuple[ApiKey, ...]:
    return parse_keys(json.dumps({"keys": entries}).encode())


def test_the_least_that_an_entry_may_have() -> None:
    assert parse(LEAST) == (KEY,)


def test_all_that_a_key_has_is_written_and_read_again_in_its_order() -> None:
    full = replace(
        KEY,
        id="k2",
        digest=digest_of(b"other"),
        expires_at=KEY.created_at + 1500,
        models=("next-word", "mödel"),
        limits={"sessions": 10, "requests_per_second": 0.5},
        note='for "Ada"',
    )
    admin = replace(KEY, id="k0", digest=digest_of(b"admin"), role="admin")
    keys = (full, KEY, admin)
    content = format_keys(keys)
    assert parse_keys(content) == keys
    assert format_keys(parse_keys(content)) == content
    assert SECRET.encode() not in content
    assert parse_keys(format_keys(())) == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"role": "root"}, 'keys[0].role is "root": expected one of client, admin'),
        ({"tenant": "*"}, 'keys[0].tenant is "*": expected 1 to 128 letters, digits'),
        ({"tenant": "a,b"}, "keys[0].tenant is"),
        ({"id": ""}, 'keys[0].id is "": expected 1 to 64 letters, digits'),
        ({"id": 7}, "keys[0].id is 7"),
        ({"created_at": "yesterday"}, 'keys[0].created_at is "yesterday": expected a time such as'),
        ({"expires_at": "2026-02-30T00:00:00Z"}, "keys[0].expires_at is"),
        ({"expires_at": "2026-02-20T00:00:00"}, "keys[0].expires_at is"),
        ({"models": []}, "keys[0].models is []: expected a list of names"),
        ({"models": "next-word"}, "keys[0].models is"),
        ({"models": [1]}, "keys[0].models is [1]"),
        ({"models": ["a"], "role": "admin"}, "keys[0].models is ['a']: expected none of an admin"),
        ({"limits": {"speed": 1}}, "keys[0].limits.speed is no limit: expected one of requests_per_second"),
        ({"limits": {"sessions": 1.5}}, "keys[0].limits.sessions is 1.5: expected a whole number"),
        ({"limits": {"sessions": True}}, "keys[0].limits.sessions is true: expected a whole number"),
        ({"limits": {"weight": 0}}, "keys[0].limits.weight is 0: expected a number above 0"),
        ({"limits": []}, "keys[0].limits is []: expected an object"),
        ({"note": 1}, "keys[0].note is 1: expected a text"),
        ({"expires": "2026-01-01T00:00:00Z"}, "keys[0].expires is no field: expected one of id, tenant, digest"),
        ({"created_at": None}, "keys[0].created_at is missing: expected a time"),
    ],
)
def test_a_wrong_entry_is_named_with_its_field_its_value_and_what_was_expected(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        parse(LEAST | change)
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    "digest", [SECRET, f"sha256:{SECRET}", "sha256:" + "A" * 64, 7], ids=["key", "key as digest", "capitals", "number"]
)
def test_what_stands_where_a_digest_should_is_not_told_as_it_may_be_a_key(digest: object) -> None:
    with pytest.raises(SettingsError, match=r"keys\[0\].digest is of .*: expected sha256: and the 64") as refusal:
        parse(LEAST | {"digest": digest})
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"keys": [', "is no JSON"),
        ("[]", "has list: expected one field, keys"),
        ('{"keys": {}}', "expected one field, keys, with a list"),
        ('{"keys": [], "version": 1}', "['keys', 'version']: expected one field"),
        ('{"keys": [7]}', "keys[0] is 7: expected an object"),
        ('{"keys": [{"id": "a", "id": "b"}]}', "the field id is there twice"),
        ('{"keys": ' + "[" * 100_000, "is no JSON"),
    ],
)
def test_a_file_that_is_no_list_of_keys_says_so(content: str, message: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        parse_keys(content.encode())
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"digest": "sha256:" + "0" * 64}, "keys[1].id is 'k1': expected another one than that of keys[0]"),
        ({"id": "k2"}, "keys[1].digest is that of keys[0]: expected a key of its own"),
        (
            {"id": "k2", "digest": "sha256:" + "0" * 64, "limits": {"sessions": 2}},
            "keys[1].limits.sessions is 2: expected 1 as in keys[0], since limits are those of the tenant alice",
        ),
    ],
)
def test_entries_that_contradict_each_other_are_both_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        parse(LEAST | {"limits": {"sessions": 1}}, LEAST | change)
    assert message in str(refusal.value)


def test_limits_of_all_keys_of_a_tenant_are_those_of_the_tenant() -> None:
    keys = [
        replace(KEY, limits={"sessions": 1}),
        replace(KEY, id="k2", limits={"weight": 2.0}),
        replace(KEY, id="k3", tenant="bob"),
    ]
    assert limits_of_tenants(keys) == {"alice": {"sessions": 1, "weight": 2.0}}


def test_a_key_is_valid_until_it_expires() -> None:
    assert KEY.is_valid(10**15)
    assert replace(KEY, expires_at=5).is_valid(4)
    assert not replace(KEY, expires_at=5).is_valid(5)


def test_a_file_that_is_not_there_is_told_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"UNROLL_API_KEYS_FILE is wrong, .*keys.json: cannot be read: No such file"
    ):
        read_keys(tmp_path / "keys.json")
