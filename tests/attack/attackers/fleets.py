"""Loads of session steps: fleets in one request, and many connections on one session."""

import asyncio
from dataclasses import dataclass

from tests.attack.attackers.base import Tally, Target, ask, create_session

_FLEET = 256
_WORDS = "the people of this country would like to have some tea " * 30


@dataclass(frozen=True)
class Fleets:
    """Requests that step as many sessions as one request may, each by a long text."""

    name: str = "fleets"
    connections: int = 8
    family: str = "load"

    async def run(self, target: Target, tally: Tally) -> None:
        sessions = [await create_session(target, tally) for _ in range(target.scaled(_FLEET))]
        steps = [{"session_id": session, "input": {"text": _WORDS}} for session in sessions if session is not None]
        async with asyncio.TaskGroup() as group:
            for _ in range(self.connections):
                group.create_task(_repeat(target, tally, "/v1/sessions/steps", {"steps": steps}))


@dataclass(frozen=True)
class OneSession:
    """Many connections that all step the same session, so that they wait for each other."""

    name: str = "one-session"
    connections: int = 256
    family: str = "load"

    async def run(self, target: Target, tally: Tally) -> None:
        session = await create_session(target, tally)
        async with asyncio.TaskGroup() as group:
            for _ in range(target.scaled(self.connections)):
                path = f"/v1/sessions/{session}/steps"
                group.create_task(_repeat(target, tally, path, {"input": {"text": "tea"}}))


async def _repeat(target: Target, tally: Tally, path: str, body: object) -> None:
    connection = target.connection()
    try:
        while tally.running():
            response = await ask(connection, tally, "POST", path, body, target.key)
            if response is not None and response.status in {429, 503}:
                await asyncio.sleep(0.005)
    finally:
        connection.close()
