"""A tenant that fills the store: sessions, forks and imports without an end."""

import asyncio
from dataclasses import dataclass

from tests.attack.attackers.base import FAILURES, Tally, Target, ask, create_session
from tests.attack.wire import Connection, pack

_CONNECTIONS = 8
_KEPT_STEPS = 64
_LONGEST_TTL = 2_592_000


@dataclass(frozen=True)
class Creating:
    """Creations of sessions that live for long."""

    name: str = "creations"
    family: str = "store"

    async def run(self, target: Target, tally: Tally) -> None:
        body = {"model": "next-word", "ttl_seconds": _LONGEST_TTL, "kept_steps": _KEPT_STEPS}
        await _repeat(target, tally, "/v1/sessions", pack("POST", "/v1/sessions", body, target.key))


@dataclass(frozen=True)
class Forking:
    """Forks of a session with as many kept steps as there may be."""

    name: str = "forks"
    family: str = "store"

    async def run(self, target: Target, tally: Tally) -> None:
        session = await create_session(target, tally, kept_steps=_KEPT_STEPS, ttl_seconds=_LONGEST_TTL)
        if session is None:
            return
        connection = target.connection()
        for _ in range(_KEPT_STEPS):
            await ask(
                connection, tally, "POST", f"/v1/sessions/{session}/steps", {"input": {"text": "tea"}}, target.key
            )
        connection.close()
        path = f"/v1/sessions/{session}/fork"
        await _repeat(target, tally, path, pack("POST", path, {"ttl_seconds": _LONGEST_TTL}, target.key))


@dataclass(frozen=True)
class Importing:
    """Imports of one exported state."""

    name: str = "imports"
    family: str = "store"

    async def run(self, target: Target, tally: Tally) -> None:
        session = await create_session(target, tally)
        if session is None:
            return
        connection = target.connection()
        await ask(connection, tally, "POST", f"/v1/sessions/{session}/steps", {"input": {"text": "tea"}}, target.key)
        exported = await ask(connection, tally, "GET", f"/v1/sessions/{session}/state", None, target.key)
        connection.close()
        if exported is None or exported.status != 200:
            return
        headers = {"Content-Type": "application/octet-stream"}
        await _repeat(target, tally, "import", pack("POST", "/v1/sessions/import", exported.body, target.key, headers))


@dataclass(frozen=True)
class Keeping:
    """Sessions with kept steps that are stepped in fleets, so that each keeps as much as it may."""

    name: str = "kept-steps"
    family: str = "store"

    async def run(self, target: Target, tally: Tally) -> None:
        connection = target.connection()
        sessions: list[str] = []
        while tally.running():
            if len(sessions) < 256:
                session = await create_session(target, tally, kept_steps=_KEPT_STEPS, ttl_seconds=_LONGEST_TTL)
                sessions += [session] if session is not None else []
            steps = [{"session_id": session, "input": {"text": "tea coffee"}} for session in sessions]
            await ask(connection, tally, "POST", "/v1/sessions/steps", {"steps": steps}, target.key)
        connection.close()


async def _repeat(target: Target, tally: Tally, name: str, request: bytes) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(_CONNECTIONS):
            group.create_task(_send_forever(target.connection(), tally, name, request))


async def _send_forever(connection: Connection, tally: Tally, name: str, request: bytes) -> None:
    try:
        while tally.running():
            try:
                tally.note(await connection.send(request), name)
            except FAILURES as error:
                tally.fail(error)
                await asyncio.sleep(0.05)
    finally:
        connection.close()
