"""The innocent client: five streams of small steps by a key of its own, one over gRPC, verified and measured."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.attack.calls import CallStream
from tests.attack.evidence import Evidence, Sample
from tests.attack.expected import MODEL, Script
from tests.attack.wire import Connection, Response, pack

STREAMS = 5
#: The stream that steps sequences over gRPC, where the service has a port for it.
CALLS = 4
#: One stream opens a connection for each request, so that it also sees what happens to new connections.
FRESH = 3
PAUSE = 0.02
RETRY_PAUSE = 0.1
TIMEOUT = 12.0


@dataclass(slots=True, eq=False)
class Victim:
    """Steps sessions by their scripts until it is cancelled; each step is retried until it is answered by 200.

    When it is `stopping`, it ends the sessions that it has begun, and begins no others.
    """

    port: int
    key: str
    scripts: Sequence[Script]
    grpc_port: int = 0
    pause: float = PAUSE
    evidence: Evidence = field(default_factory=Evidence)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Run all streams until cancelled, or until they have stopped."""
        async with asyncio.TaskGroup() as group:
            for number, script in enumerate(self.scripts):
                if self.grpc_port and number == CALLS:
                    calls = CallStream(
                        self.grpc_port, self.key, self.pause, self.evidence, self.stopping, number, script
                    )
                    group.create_task(calls.run())
                else:
                    group.create_task(_Stream(self, number, script).run())


@dataclass(slots=True, eq=False)
class _Stream:
    victim: Victim
    number: int
    script: Script
    connection: Connection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = Connection(self.victim.port)

    async def run(self) -> None:
        try:
            while not self.victim.stopping.is_set():
                session = await self._create()
                if all([await self._step(session, step) for step in range(len(self.script.bodies))]):
                    await self._finish(session)
        finally:
            self.connection.close()

    async def _send(self, method: str, path: str, body: object = None) -> Response | None:
        """Send a request; None if there was no response, which is counted by the error's name."""
        if self.number == FRESH:
            self.connection.close()
        try:
            response = await self.connection.send(pack(method, path, body, self.victim.key), TIMEOUT)
        except (OSError, EOFError, ValueError) as error:
            self.victim.evidence.refusals[f"{method} {type(error).__name__}"] += 1
            return None
        if response.status >= 400:
            self.victim.evidence.refusals[response.label] += 1
        return response

    async def _create(self) -> str:
        while True:
            response = await self._send("POST", "/v1/sessions", {"model": MODEL})
            if response is not None and response.status == 201:
                self.victim.evidence.sessions.append(str(response.json["id"]))
                return self.victim.evidence.sessions[-1]
            await asyncio.sleep(RETRY_PAUSE)

    async def _step(self, session: str, step: int) -> bool:
        """Apply one step, however often it takes; returns whether the session can go on."""
        effects = set[str | None]()
        while True:
            sent = time.monotonic()
            response = await self._send("POST", f"/v1/sessions/{session}/steps", self.script.bodies[step])
            answered = response is not None and response.status == 200
            self.victim.evidence.samples.append(Sample(sent, time.monotonic(), answered, self.number))
            if response is not None and (answered or response.status in {404, 409, 410}):
                await asyncio.sleep(self.victim.pause)
                return self._judge(session, step, response, effects)
            effects.add("unknown" if response is None else response.json.get("error", {}).get("applied"))
            await asyncio.sleep(RETRY_PAUSE)

    def _judge(self, session: str, step: int, response: Response, effects: set[str | None]) -> bool:
        """Verify a final answer; False ends the session."""
        violation = f"answered {response.label}" if response.status != 200 else None
        if violation is None:
            replayed = response.headers.get("unroll-replayed") == "true"
            violation = self.script.violation(step, response.json)
            if replayed and effects <= {"no"}:
                violation = f"step {step} was applied although all refusals said no"
            if not replayed and "yes" in effects:
                violation = f"step {step} was not applied although a refusal said yes"
        if violation is not None:
            self.victim.evidence.violations.append(f"{session}, step {step}: {violation}")
            return False
        self.victim.evidence.verified += 1
        return True

    async def _finish(self, session: str) -> None:
        """Read a finished session once more and delete it."""
        response = await self._send("GET", f"/v1/sessions/{session}")
        if response is not None and response.status == 200 and response.json.get("step") != len(self.script.bodies):
            self.victim.evidence.violations.append(f"{session} is at step {response.json.get('step')} at its end")
        if response is not None and response.status in {404, 410}:
            self.victim.evidence.violations.append(f"{session} is gone: {response.label}")
        await self._send("DELETE", f"/v1/sessions/{session}")
