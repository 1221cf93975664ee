"""Records that are damaged, cut, foreign or of a model that is gone: refused by their code, and left as they are."""

import pickle
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from redis import Redis

from service.application.access.principal import PUBLIC
from service.domain.sessions import Record
from service.store.embedded.server import EmbeddedServer
from service.store.keys import Keys
from service.store.record.codec import MAGIC, TOMBSTONE_MAGIC, decode, encode, encode_tombstone
from service.store.record.owner import RecordOwner
from tests.server import (
    Server,
    answered,
    look_up,
    post,
    refusal,
    send,
    step,
)

FLIPS = 48
BODY = {"input": {"text": "the dog"}}
#: Method, rest of the path and body of every call that reads a session's record, and `applied` in its refusal.
CALLS: list[tuple[str, str, Any, str | None]] = [
    ("GET", "", None, None),
    ("PATCH", "", {"ttl_seconds": 60}, None),
    ("DELETE", "", None, None),
    ("POST", "/steps", BODY, "no"),
    ("POST", "/steps", BODY | {"step": 1}, "no"),
    ("POST", "/generate", {}, "no"),
    ("POST", "/predict", {}, None),
    ("POST", "/fork", {}, None),
    ("POST", "/reset", {}, "no"),
]
#: Those that need the session's model.
RUNNING = [(rest, body) for method, rest, body, _ in CALLS if method == "POST"]


@pytest.fixture(scope="module")
def redis(store: EmbeddedServer) -> Iterator[Redis]:
    with Redis.from_url(store.url) as client:
        yield client


class Stored:
    """A session that made one step, and its record as it lies in the store."""

    def __init__(self, http: httpx.Client, redis: Redis, key: str | None = None) -> None:
        self.id = answered(post(http, "/v1/sessions", {"model": "tiny"}, key=key), 201)["id"]
        answered(step(http, self.id, "the dog", key="k1"))
        self.key = Keys("unroll").session(PUBLIC, self.id)
        self.owner = RecordOwner(PUBLIC, self.id)
        self.redis = redis
        self.good: Any = redis.get(self.key)
        self._until: Any = redis.pexpiretime(self.key)

    @property
    def record(self) -> Record:
        found = decode(self.good, self.owner)
        assert isinstance(found, Record)
        return found

    def put(self, data: bytes) -> None:
        self.redis.set(self.key, data, pxat=self._until)

    def as_it_lies(self) -> tuple[object, object]:
        """Value and type, as the server's own dump of them, and the moment of expiry."""
        return self.redis.dump(self.key), self.redis.pexpiretime(self.key)


@pytest.fixture
def stored(http: httpx.Client, redis: Redis) -> Stored:
    return Stored(http, redis)


@pytest.fixture
def neighbour(http: httpx.Client, redis: Redis) -> Stored:
    return Stored(http, redis)


@pytest.fixture(autouse=True)
def unharmed(server: Server, http: httpx.Client, stored: Stored, neighbour: Stored) -> Iterator[None]:
    """Whatever a test did: the worker lives, the neighbour goes on, and the session too, once its record is back."""
    workers = server.worker_pids()
    yield
    stored.redis.delete(stored.key)
    stored.put(stored.good)
    for one in (stored, neighbour):
        place = look_up(http, one.id)["step"]
        assert answered(step(http, one.id, "is", step=place))["step"] == place + 1
    assert server.worker_pids() == workers
    assert "crashed" not in server.log


def assert_corrupted(http: httpx.Client, stored: Stored, neighbour: Stored) -> None:
    """Every call says so, and changes nothing."""
    before = stored.as_it_lies()
    for method, rest, body, applied in CALLS:
        error = refusal(send(http, method, f"/v1/sessions/{stored.id}{rest}", body), 500, "state_corrupted")
        assert error["applied"] == applied, (method, rest)
    items = [{"session_id": one.id, **BODY} for one in (stored, neighbour)]
    bad, good = answered(post(http, "/v1/sessions/steps", {"steps": items}))["results"]
    assert (bad["error"]["code"], bad["error"]["applied"]) == ("state_corrupted", "no")
    assert good["session_id"] == neighbour.id
    listed = {one["id"] for one in answered(http.get("/v1/sessions?limit=100"))["data"]}
    assert neighbour.id in listed  # which reads no more of a record than its beginning
    assert stored.as_it_lies() == before


DAMAGES: dict[str, Callable[[Stored, Stored], bytes]] = {
    "empty": lambda _, __: b"",
    "one byte": lambda _, __: b"U",
    "without its end": lambda own, _: own.good[:-1],
    "cut within its header": lambda own, _: own.good[:40],
    "its header alone": lambda own, _: own.good[:72],
    "with something behind it": lambda own, _: own.good + b"\0",
    "zeros": lambda own, _: bytes(len(own.good)),
    "text": lambda _, __: b"nonsense",
    "JSON": lambda _, __: b'{"state": [0, 1]}',
    "a pickle": lambda own, _: pickle.dumps({"step": 1}),
    "of a format to come": lambda own, _: MAGIC + b"\xff\xff" + own.good[6:],
    "of another session": lambda _, other: other.good,
    "of another tenant": lambda own, _: encode(own.record, RecordOwner("somebody", own.id)),
    "a tombstone without its end": lambda own, _: encode_tombstone(1_900_000_000_000, own.record.created_at, own.owner)[
        :-1
    ],
    "a tombstone of another session": lambda own, other: encode_tombstone(
        1_900_000_000_000, own.record.created_at, other.owner
    ),
    "a tombstone's magic alone": lambda _, __: TOMBSTONE_MAGIC,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_record_that_was_not_written_for_its_session_is_refused_and_kept(
    http: httpx.Client, stored: Stored, neighbour: Stored, damage: str
) -> None:
    stored.put(DAMAGES[damage](stored, neighbour))
    assert_corrupted(http, stored, neighbour)


def test_a_key_of_another_type_is_refused_and_kept(
    http: httpx.Client, redis: Redis, stored: Stored, neighbour: Stored
) -> None:
    for write in (lambda key: redis.rpush(key, "a"), lambda key: redis.hset(key, "a", "b")):
        redis.delete(stored.key)
        write(stored.key)
        redis.expire(stored.key, 600)
        assert_corrupted(http, stored, neighbour)


def test_no_flipped_bit_gets_through(http: httpx.Client, stored: Stored) -> None:
    for place in random.Random(5).sample(range(len(stored.good) * 8), FLIPS):
        flipped = bytearray(stored.good)
        flipped[place // 8] ^= 1 << place % 8
        stored.put(bytes(flipped))
        before = stored.as_it_lies()
        refusal(step(http, stored.id, "is", step=1), 500, "state_corrupted")
        refusal(http.get(f"/v1/sessions/{stored.id}"), 500, "state_corrupted")
        assert stored.as_it_lies() == before


def test_a_repeated_creation_is_told_of_a_damaged_record_and_makes_no_fresh_one(
    http: httpx.Client, redis: Redis, neighbour: Stored
) -> None:
    made = Stored(http, redis, key="made once")
    fork = f"/v1/sessions/{neighbour.id}/fork"
    child = answered(post(http, fork, key="forked once"), 201)["id"]
    for session, path, body, key in (
        (made.id, "/v1/sessions", {"model": "tiny"}, "made once"),
        (child, fork, None, "forked once"),
    ):
        name = Keys("unroll").session(PUBLIC, session)
        redis.set(name, b"nonsense", keepttl=True)
        refusal(post(http, path, body, key=key), 500, "state_corrupted")
        assert redis.get(name) == b"nonsense"


@pytest.mark.parametrize(
    "changes", [{"model": "another"}, {"version": "9"}, {"fingerprint": "ab" * 32}], ids=["model", "version", "weights"]
)
def test_a_record_of_a_model_that_is_not_served_is_kept_for_its_return(
    http: httpx.Client, stored: Stored, neighbour: Stored, changes: dict[str, str]
) -> None:
    stored.put(encode(replace(stored.record, **changes), stored.owner))
    before = stored.as_it_lies()
    for rest, body in RUNNING:
        error = refusal(post(http, f"/v1/sessions/{stored.id}{rest}", body), 410, "model_version_gone")
        assert (error["applied"], error["step"]) == ("no", 1), rest
    items = [{"session_id": one.id, **BODY} for one in (stored, neighbour)]
    gone, good = answered(post(http, "/v1/sessions/steps", {"steps": items}))["results"]
    assert (gone["error"]["code"], good["session_id"]) == ("model_version_gone", neighbour.id)
    # What does not run the model goes on: a client can see what it had, keep it until the version is back, or end it.
    assert look_up(http, stored.id)["step"] == 1
    assert stored.id in {one["id"] for one in answered(http.get("/v1/sessions?limit=100"))["data"]}
    assert stored.as_it_lies() == before
    assert answered(http.patch(f"/v1/sessions/{stored.id}", json={"ttl_seconds": 60}))["ttl_seconds"] == 60
    assert http.delete(f"/v1/sessions/{stored.id}").status_code == 204
    refusal(http.get(f"/v1/sessions/{stored.id}"), 410, "session_ended")


def test_a_repetition_is_answered_though_its_model_is_gone(http: httpx.Client, stored: Stored) -> None:
    stored.put(encode(replace(stored.record, version="9"), stored.owner))
    repeated = step(http, stored.id, "the dog", key="k1")
    assert (answered(repeated)["step"], repeated.headers["unroll-replayed"]) == (1, "true")
