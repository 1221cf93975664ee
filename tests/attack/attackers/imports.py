"""Imports of mutated session files; a session that comes of one is used before it is deleted."""

import asyncio
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.attack.attackers.base import FAILURES, Tally, Target, ask
from tests.attack.attackers.session_files import mutated
from tests.attack.wire import Connection, pack

_CONNECTIONS = 4
_CREATIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"model": "next-word"}, {"text": "I would like"}),
    ({"model": "translate-en-fr", "input": {"text": "Would you like some tea?"}}, {"text": "une"}),
    (
        {"model": "taxi-forecast"},
        {"values": [9000] * 60, "timestamps": {"start": "2015-01-05T00:00:00Z", "step_seconds": 1800}},
    ),
]
_LATER = {"values": [9000], "timestamps": ["2015-03-01T00:00:00Z"]}
_FAR = {"values": [1], "timestamps": ["9999-12-31T23:30:00Z"]}


@dataclass(frozen=True)
class MutatedImports:
    """Session files by a seed. Each session that is accepted is read, stepped, forked and deleted."""

    name: str = "session-files"
    family: str = "malformed"

    async def run(self, target: Target, tally: Tally) -> None:
        connection = target.connection()
        contents = [
            content for creation in _CREATIONS if (content := await _export(connection, target, tally, *creation))
        ]
        connection.close()
        if not contents:
            return
        numbers = itertools.islice(itertools.count(), target.count)
        async with asyncio.TaskGroup() as group:
            for _ in range(_CONNECTIONS):
                group.create_task(self._send(target, tally, numbers, contents))

    async def _send(self, target: Target, tally: Tally, numbers: Iterator[int], contents: list[bytes]) -> None:
        connection = target.connection()
        headers = {"Content-Type": "application/octet-stream"}
        for number in numbers:
            if not tally.running():
                break
            content = mutated(random.Random(f"{self.name} {target.seed} {number}"), contents)
            tally.labels["requests"] += 1
            try:
                request = pack("POST", "/v1/sessions/import", content, target.key, headers)
                response = tally.note(await connection.send(request), f"import {number}: {content[:200]!r}")
            except FAILURES as error:
                tally.fail(error)
                continue
            if response.status == 201:
                await _use(connection, target, tally, response.json)
        connection.close()


async def _export(
    connection: Connection, target: Target, tally: Tally, creation: dict[str, Any], content: dict[str, Any]
) -> bytes | None:
    """Return the state of a new session after one step; None if the service refuses it."""
    created = await ask(connection, tally, "POST", "/v1/sessions", creation, target.key)
    if created is None or created.status != 201:
        return None
    path = f"/v1/sessions/{created.json['id']}"
    await ask(connection, tally, "POST", f"{path}/steps", {"input": content}, target.key)
    exported = await ask(connection, tally, "GET", f"{path}/state", None, target.key)
    return exported.body if exported is not None and exported.status == 200 else None


async def _use(connection: Connection, target: Target, tally: Tally, session: dict[str, Any]) -> None:
    """Do with an imported session what a client could do."""
    path, forecasts = f"/v1/sessions/{session['id']}", session["model"] == "taxi-forecast"
    content = _LATER if forecasts else {"text": "tea"}
    requests: list[tuple[str, str, object]] = [
        ("POST", f"{path}/predict", {}),
        ("POST", f"{path}/steps", {"input": content}),
        ("POST", f"{path}/steps", {"input": _FAR if forecasts else content}),
        ("POST", f"{path}/generate", {"options": {"max_tokens": 3}}),
        ("POST", f"{path}/fork", {}),
        ("GET", f"{path}/state", None),
        ("DELETE", path, None),
    ]
    for method, place, body in requests:
        await ask(connection, tally, method, place, body, target.key)
