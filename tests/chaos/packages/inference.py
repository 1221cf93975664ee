"""Clients that step sequences of the Open Inference Protocol with Triton's own asynchronous client."""

import asyncio
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np
from tritonclient.http import InferInput, InferRequestedOutput
from tritonclient.http.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from tests.chaos import contents
from tests.chaos.contents import Words
from tests.chaos.driver import PATIENCE
from tests.chaos.http1 import NOTHING, Connections, Reply
from tests.chaos.journal import Attempt, Event, Part, Request, Session
from tests.chaos.packages.package_client import PackageClient

_STANDS = re.compile(r"expected (\d+), where the session stands")
#: How often a sequence is looked at over the native API, where it is a session.
_LOOKS = 0.1


@dataclass(slots=True, eq=False)
class InferenceClient(PackageClient):
    """One client; what it does follows from the run's seed and its own number."""

    plan = "inference"

    native: Connections = field(init=False)
    serial: int = 0

    def __post_init__(self) -> None:
        PackageClient.__post_init__(self)  # super() does not know classes with slots
        self.native = Connections(self.port, self.api_key)

    async def run(self) -> None:
        """Work until the run ends."""
        async with InferenceServerClient(f"127.0.0.1:{self.port}", conn_timeout=4.0) as client:
            while not self.shared.stopping():
                await self._sequence(client)

    async def finish(self) -> None:
        """Sequences end with their last request."""

    async def close(self) -> None:
        self.native.close()

    async def _sequence(self, client: Any) -> None:
        """One sequence from its start to its end, unless the run or a rollback ends it before."""
        self.serial += 1
        number = 1_000_000 * self.number + self.serial
        name: int | str = f"sequence {number}" if self.choose.random() < 0.5 else number
        length = self.choose.randint(5, 60)
        journal = Session("", self.role.model, self.role.durability, self.role.ttl, time.monotonic(), 0.0, self.number)
        self.shared.operations["sequences"] += 1
        timesteps = 0
        for step in range(length):
            content = contents.choose(self.role.model, self.choose, 0, generate=False)
            assert isinstance(content, Words)
            timesteps += len(content.texts)
            part = Part(Request(content, step, f"sequence {step}"))
            last = step == length - 1
            if not await self._send(client, name, part, timesteps, last=last):
                break
            reply = part.reply
            if not journal.id and reply.status == 200:
                journal.id, journal.at = reply.json["session_id"], part.at
                self.shared.sessions.append(journal)
            journal.events.append(Event("step", [part]))
            if reply.status != 200:
                if not journal.id:
                    self.shared.wrong.append(f"client {self.number}: a sequence could not begin: {reply}")
                break
            if not last and self.choose.random() < _LOOKS:
                await self._look(journal)
            await asyncio.sleep(self.choose.uniform(0.0, 2 * self.role.pause))

    async def _send(self, client: Any, name: int | str, part: Part, timesteps: int, *, last: bool) -> bool:
        """Send a request until it is answered for good; False if a lost answer ended the sequence."""
        started = time.monotonic()
        while True:
            sent = time.monotonic()
            reply = await self._infer(client, name, part.request, timesteps, last=last)
            if last and reply.status == 410 and part.lost:
                self.shared.operations["sequences that ended with a lost answer"] += 1
                return False
            part.attempts.append(Attempt(sent, time.monotonic(), reply))
            if part.settled or time.monotonic() > started + PATIENCE:
                return True
            self.shared.operations["sequence requests sent again"] += 1
            await asyncio.sleep(self.choose.uniform(0.1, 1.0))

    async def _infer(self, client: Any, name: int | str, request: Request, timesteps: int, *, last: bool) -> Reply:
        assert isinstance(request.content, Words)
        binary = self.choose.random() < 0.5
        tensor = InferInput("TEXT", [1, 1], "BYTES")
        text = " ".join(request.content.texts).encode()
        tensor.set_data_from_numpy(np.array([[text]], dtype=np.object_), binary_data=binary)
        try:
            result = await client.infer(
                self.role.model,
                [tensor],
                outputs=[InferRequestedOutput("TOP_TOKENS", binary_data=binary)],
                sequence_id=name,
                sequence_start=request.step == 0,
                sequence_end=last,
                parameters={"step": request.step, "top_k": 1},
                headers={"Authorization": f"Bearer {self.api_key}"} if self.api_key else {},
            )
        except InferenceServerException as error:
            return _refusal(error)
        except (aiohttp.ClientError, OSError):  # TimeoutError is an OSError
            return NOTHING
        told = result.get_response()["parameters"]
        token = result.as_numpy("TOP_TOKENS")[0][0]
        body = {
            "session_id": told["session_id"],
            "model": self.role.model,
            "step": told["step"],
            "timesteps": timesteps,
        }
        body["output"] = {"predictions": [{"token": token.decode() if binary else token}]}
        return Reply(200, json.dumps(body).encode(), replayed=bool(told.get("replayed")))

    async def _look(self, journal: Session) -> None:
        """Look at the sequence over the native API."""
        part, started = Part(Request()), time.monotonic()
        while not part.settled and time.monotonic() < started + PATIENCE:
            sent = time.monotonic()
            reply = await self.native.send("GET", f"/v1/sessions/{journal.id}")
            part.attempts.append(Attempt(sent, time.monotonic(), reply))
            await asyncio.sleep(0.0 if part.settled else 0.3)
        journal.events.append(Event("get", [part]))


def _refusal(error: Any) -> Reply:
    """The reply that an error stands for. A sequence that is not there is an expired session."""
    message, status = str(error.message()), int(error.status() or 0)
    if not status:
        return NOTHING
    stands = _STANDS.search(message)
    body: dict[str, Any] = {"code": None, "message": message, "applied": "unknown"}
    if stands is not None:
        body |= {"code": "step_conflict", "step": int(stands[1]), "applied": "no"}
    elif status == 404 and "START flag" in message:
        status, body["code"] = 410, "session_expired"
    return Reply(status, json.dumps({"error": body}).encode())
