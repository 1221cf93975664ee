"""More than 10,000 seeded attempts of a tenant at sessions of another, over all routes: none may succeed or tell."""

import base64
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.access.test_keys_file import entry, write
from tests.integration.access.worker import Answer, Client, Socket, running

SEED, ATTEMPTS = 19, 10_000
SINGLE, BULK, FRAMES = 1200, 33, 4
WORDS = {"input": {"text": "the cat"}}
#: Method, path and body of each call of a session.
CALLS: list[tuple[str, str, object]] = [
    ("GET", "", None),
    ("GET", "?tenant=alice", None),
    ("GET", "?tenant=*", None),
    ("PATCH", "", {"ttl_seconds": 60}),
    ("DELETE", "", None),
    ("DELETE", "?tenant=alice", None),
    ("POST", "/steps", WORDS),
    ("POST", "/steps", WORDS | {"step": 0}),
    ("POST", "/predict", {}),
    ("POST", "/generate", {"options": {"max_tokens": 1}}),
    ("POST", "/generate", {"options": {"max_tokens": 1, "stream": True}}),
    ("POST", "/generate", {"commit": False, "options": {"max_tokens": 1}}),
    ("POST", "/reset", {}),
    ("POST", "/reset", {"step": 1}),
    ("POST", "/fork", {}),
    ("POST", "/fork", {"step": 1}),
    ("GET", "/state", None),
    ("GET", "/stream", None),
]
HEADERS: list[dict[str, str]] = [{}, {"idempotency-key": "of alice"}]


@dataclass
class Victim:
    """Alice's sessions, and how they stand."""

    client: Client
    live: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    cursors: list[str] = field(default_factory=list)

    async def fill(self) -> None:
        self.live = [await self.client.session(kept_steps=2) for _ in range(6)]
        keyed = await self.client.ask("POST", "/v1/sessions", {"model": "tiny"}, headers=HEADERS[1])
        self.live.append(keyed.json["id"])
        for session in self.live:
            for step in range(2):
                headers = HEADERS[1] if step else {}
                answer = await self.client.ask("POST", f"/v1/sessions/{session}/steps", WORDS, headers=headers)
                assert answer.status == 200, answer.body
        self.ended = [await self.client.session()]
        await self.client.ask("DELETE", f"/v1/sessions/{self.ended[0]}")
        sequence = await self.client.ask("POST", "/v2/models/tiny/infer", infer(7, sequence_start=True))
        assert sequence.status == 200, sequence.body
        self.live.append(sequence.json["parameters"]["session_id"])
        for limit in (1, 3):
            self.cursors.append((await self.client.ask("GET", f"/v1/sessions?limit={limit}")).json["next_cursor"])

    async def look(self) -> list[bytes]:
        return [(await self.client.ask("GET", f"/v1/sessions/{session}")).body for session in self.live]


def infer(sequence: int, **parameters: Any) -> dict[str, Any]:
    row = {"name": "TOKEN_IDS", "datatype": "INT64", "shape": [1, 2], "data": [1, 2]}
    return {"inputs": [row], "parameters": {"sequence_id": sequence, **parameters}}


class Attacker:
    """Mallory, who knows all of Alice's ids, cursors and idempotency keys, and makes up others."""

    def __init__(self, client: Client, victim: Victim) -> None:
        self.client, self.victim = client, victim
        self.random = random.Random(SEED)
        self.attempts: Counter[str] = Counter()
        self.successes: list[tuple[str, bytes]] = []

    def made_up(self) -> str:
        """An id of the right form that nobody was given."""
        return "ses_" + base64.b32encode(self.random.randbytes(25)).decode().lower()

    def session(self) -> str:
        known = self.random.choice(self.victim.live + self.victim.ended)
        place = self.random.randrange(4, len(known))
        other = self.random.choice("abcdefghijklmnopqrstuvwxyz234567")
        near = known[:place] + other + known[place + 1 :]
        return self.random.choices([known, near, known.upper(), self.made_up()], [5, 2, 1, 2])[0]

    def note(self, kind: str, answer: Answer, *allowed: str) -> None:
        self.attempts[kind] += 1
        if answer.status < 400 or answer.code not in allowed:
            self.successes.append((kind, answer.body))

    def note_error(self, kind: str, result: dict[str, Any]) -> None:
        self.attempts[kind] += 1
        if result.get("error", {}).get("code") != "session_not_found":
            self.successes.append((kind, json.dumps(result).encode()))

    async def call(self, call: tuple[str, str, object], session: str, headers: dict[str, str]) -> Answer:
        method, path, body = call
        socket = Socket([json.dumps(WORDS).encode()]) if path == "/stream" else None
        return await self.client.ask(method, f"/v1/sessions/{session}{path}", body, socket=socket, headers=headers)

    async def call_at_random(self) -> None:
        call = self.random.choice(CALLS)
        allowed = "not_allowed" if "tenant=" in call[1] else "session_not_found"
        answer = await self.call(call, self.session(), self.random.choice(HEADERS))
        self.note(f"{call[0]} {call[1]}", answer, allowed)

    async def step_many(self) -> None:
        steps = [WORDS | {"session_id": self.session(), "idempotency_key": "of alice"} for _ in range(256)]
        answer = await self.client.ask("POST", "/v1/sessions/steps", {"steps": steps})
        for result in answer.json["results"]:
            self.note_error("steps", result)

    async def send_frames(self) -> None:
        frames = [json.dumps(WORDS | {"session_id": self.session(), "id": number}).encode() for number in range(256)]
        socket = Socket(frames)
        await self.client.ask("GET", "/v1/stream", socket=socket)
        assert len(socket.answers) == 256
        for result in socket.answers:
            self.note_error("frames", result)

    async def list_with_cursors(self) -> None:
        own = await self.client.session()
        for cursor in ["", *(f"&cursor={cursor}" for cursor in self.victim.cursors)]:
            for query in (f"limit=100{cursor}", f"limit=100&model=tiny{cursor}"):
                listed = (await self.client.ask("GET", f"/v1/sessions?{query}")).json["data"]
                self.attempts["list"] += 1
                self.successes += [("list", one["id"].encode()) for one in listed if one["id"] != own]

    async def create_with_keys(self) -> None:
        created = await self.client.ask("POST", "/v1/sessions", {"model": "tiny"}, headers=HEADERS[1])
        self.attempts["create"] += 1
        if created.json["id"] in self.victim.live:
            self.successes.append(("create", created.body))

    async def go_on_with_sequences(self) -> None:
        for parameters in ({}, {"sequence_end": True}, {"step": 1}):
            answer = await self.client.ask("POST", "/v2/models/tiny/infer", infer(7, **parameters))
            missing = await self.client.ask("POST", "/v2/models/tiny/infer", infer(8, **parameters))
            self.attempts["sequence"] += 1
            if answer.status != 404 or told(answer, "7") != told(missing, "8"):
                self.successes.append(("sequence", answer.body))


def told(answer: Answer, session: str) -> tuple[Any, ...]:
    """Everything that an answer tells but the id that it was asked for."""
    return answer.status, answer.headers, answer.body.replace(session.encode(), b"ID")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    write(tmp_path / "keys", *(entry(name, tenant=name) for name in ("alice", "mallory")))
    return tmp_path / "keys"


async def test_no_tenant_reads_changes_or_learns_of_a_session_of_another(place: tuple[Path, str], keys: Path) -> None:
    folder, url = place
    async with running(folder, url, key_prefix=keys.parent.name, api_keys_file=keys) as app:
        victim = Victim(Client(app, "alice"))
        await victim.fill()
        before = await victim.look()
        attacker = Attacker(Client(app, "mallory"), victim)
        for _ in range(SINGLE):
            await attacker.call_at_random()
        for _ in range(BULK):
            await attacker.step_many()
        for _ in range(FRAMES):
            await attacker.send_frames()
        await attacker.list_with_cursors()
        await attacker.create_with_keys()
        await attacker.go_on_with_sequences()
        for call in CALLS:
            for headers in HEADERS:
                made_up = attacker.made_up()
                missing = told(await attacker.call(call, made_up, headers), made_up)
                for session in (victim.live[0], victim.live[-1], victim.ended[0]):
                    assert told(await attacker.call(call, session, headers), session) == missing, call
        assert attacker.successes == []
        assert attacker.attempts.total() >= ATTEMPTS
        assert await victim.look() == before
