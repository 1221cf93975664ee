"""Requests with wrong keys, and with none."""

import asyncio
import random
from dataclasses import dataclass

from tests.attack.attackers.base import FAILURES, Tally, Target
from tests.attack.wire import pack

_CONNECTIONS = 64


@dataclass(frozen=True)
class WrongKeys:
    """Keys that are nearly right, far too long or no text at all."""

    name: str = "wrong-keys"
    family: str = "load"

    async def run(self, target: Target, tally: Tally) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(target.scaled(_CONNECTIONS)):
                group.create_task(self._guess(target, tally, random.Random(f"{target.seed} {number}")))

    async def _guess(self, target: Target, tally: Tally, choose: random.Random) -> None:
        connection = target.connection()
        while tally.running():
            try:
                response = await connection.send(self._request(target, choose))
            except FAILURES as error:
                tally.fail(error)
                await asyncio.sleep(0.05)
                continue
            tally.note(response)
            if response.status == 200:
                tally.failures["let in by a wrong key"] += 1
        connection.close()

    def _request(self, target: Target, choose: random.Random) -> bytes:
        guesses = [
            "",
            target.key[:-1],
            f"{target.key}x",
            target.key.upper(),
            "\xff\xfe",
            "a" * 4000,
            str(choose.random()),
        ]
        guess = choose.choice(guesses)
        header = choose.choice(
            [{"X-Api-Key": guess}, {"Authorization": f"Bearer {guess}"}, {"Authorization": guess}, {}]
        )
        return pack("GET", choose.choice(["/v1/models", "/v1/sessions", "/v1/models/next-word"]), None, "", header)
