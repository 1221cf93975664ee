"""The victim catches a service that breaks a promise."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.attack.evidence import Evidence
from tests.attack.expected import Script
from tests.attack.victim import Victim
from tests.attack.wire import pack_head

SCRIPT = Script(
    bodies=[{"input": {"text": "tea"}, "step": step} for step in range(5)],
    outputs=[{"predictions": [{"token": f"t{step}", "probability": 0.5 + step / 10}]} for step in range(5)],
    timesteps=[1, 2, 3, 4, 5],
)


class Liar:
    """A service with one session that keeps its promises, except for the one that `lie` names."""

    def __init__(self, lie: str = "") -> None:
        self.lie = lie
        self.refused = False
        self.step = 0

    def answer(self, method: str, path: str) -> tuple[int, dict[str, Any], dict[str, str]]:
        if path == "/v1/sessions":
            self.step = 0
            return 201, {"id": "ses_a"}, {}
        if method != "POST":
            return 200, {"step": self.step - (self.lie == "forgets")}, {}
        if self.step == 2 and self.lie.startswith("says") and not self.refused:
            self.refused = True
            return 503, {"error": {"code": "store_unavailable", "applied": self.lie.split()[1]}}, {}
        if self.step == 3 and self.lie == "conflicts":
            return 409, {"error": {"code": "step_conflict", "applied": "no", "step": 2}}, {}
        return self._step()

    def _step(self) -> tuple[int, dict[str, Any], dict[str, str]]:
        self.step += 1
        output = SCRIPT.outputs[0 if self.lie == "answers wrongly" else self.step - 1]
        timesteps = self.step + (self.lie == "applies twice")
        replayed = {"Unroll-Replayed": "true"} if self.refused and self.lie == "says no" else {}
        return 200, {"step": self.step, "timesteps": timesteps, "output": output}, replayed


@contextlib.asynccontextmanager
async def serving(liar: Liar) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                method, path, _ = head.split("\r\n")[0].split(" ")
                length = head.partition("content-length: ")[2].partition("\r\n")[0]
                await reader.readexactly(int(length or 0))
                status, body, headers = liar.answer(method.upper(), path)
                content = json.dumps(body).encode()
                answer = pack_head("X", "x", len(content), "", headers).partition(b"\r\n")[2]
                writer.write(b"HTTP/1.1 %d x\r\n" % status + answer + content)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def evidence_of(lie: str) -> Evidence:
    """What a victim with one stream sees in the first two sessions, or until it sees a broken promise."""
    async with serving(Liar(lie)) as port:
        victim = Victim(port, "key", [SCRIPT], pause=0.0)
        running = asyncio.create_task(victim.run())
        async with asyncio.timeout(20):
            while victim.evidence.verified < 10 and not victim.evidence.violations:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return victim.evidence


@pytest.mark.anyio
@pytest.mark.parametrize("lie", ["", "says unknown"])
async def test_a_service_that_keeps_its_promises_is_not_accused(lie: str) -> None:
    evidence = await evidence_of(lie)
    assert evidence.violations == []
    assert evidence.verified >= 10


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("lie", "violation"),
    [
        ("applies twice", "timesteps instead of"),
        ("answers wrongly", "predictions differ"),
        ("forgets", "at its end"),
        ("conflicts", "409 step_conflict"),
        ("says no", "although all refusals said no"),
        ("says yes", "although a refusal said yes"),
    ],
)
async def test_a_broken_promise_is_caught(lie: str, violation: str) -> None:
    evidence = await evidence_of(lie)
    assert violation in evidence.violations[0]
