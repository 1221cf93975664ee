"""Clients that step sequences of the Open Inference Protocol, whatever carries it."""

import asyncio
import json
import re
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np

from tests.chaos import contents
from tests.chaos.contents import Content, Numbers, Words
from tests.chaos.driver import PATIENCE
from tests.chaos.http1 import NOTHING, Connections, Reply
from tests.chaos.journal import Attempt, Event, Part, Request, Session
from tests.chaos.packages.package_client import PackageClient

_STANDS = re.compile(r"expected (\d+), where the session stands")
#: How often a sequence is looked at over the native API, where it is a session.
_LOOKS = 0.1


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of a sequence: what it feeds, at which step, and the timesteps after it.

    `vector` is what the sequence begins with, in its first request.
    """

    name: int | str
    request: Request
    last: bool
    timesteps: int
    vector: list[float] | None = None

    @property
    def content(self) -> Content:
        assert self.request.content is not None
        return self.request.content

    @property
    def parameters(self) -> dict[str, Any]:
        steps = {"steps": True} if isinstance(self.content, Numbers) else {"top_k": 1}
        return {"step": self.request.step, **steps}

    @property
    def terms(self) -> dict[str, Any]:
        """What every method of Triton's client takes of a request, but for its tensors."""
        bounds = {"sequence_start": self.request.step == 0, "sequence_end": self.last}
        return {"sequence_id": self.name, **bounds, "parameters": self.parameters}

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("y",) if isinstance(self.content, Numbers) else ("TOP_TOKENS", "TOP_PROBABILITIES")

    def tensors(self) -> list[tuple[str, str, Any]]:
        """Name, datatype and elements of each input."""
        if isinstance(self.content, Numbers):
            return [("x", "FP32", np.array(self.content.values, np.float32)[:, None])]
        assert isinstance(self.content, Words)
        text = np.array([[" ".join(self.content.texts).encode()]], dtype=np.object_)
        vector = [] if self.vector is None else [("VECTOR", "FP32", np.array([self.vector], np.float32))]
        return [*vector, ("TEXT", "BYTES", text)]

    def reply(self, model: str, told: dict[str, Any], outputs: Sequence[Any]) -> Reply:
        """The reply that the parameters of an answer and its outputs stand for."""
        shown: dict[str, Any] = {"tensors": {"y": np.reshape(outputs[0], (-1, 1)).tolist()}}
        if self.outputs != ("y",):
            token, probability = (output[0][0] for output in outputs)
            token = token.decode() if isinstance(token, bytes) else token
            shown = {"predictions": [{"token": token, "probability": float(probability)}]}
        body = {"session_id": told["session_id"], "model": model, "step": told["step"], "timesteps": self.timesteps}
        return Reply(200, json.dumps(body | {"output": shown}).encode(), replayed=bool(told.get("replayed")))


def refusal(message: str, status: int) -> Reply:
    """The reply that an error stands for. A sequence that is not there is an expired session."""
    stands = _STANDS.search(message)
    body: dict[str, Any] = {"code": None, "message": message, "applied": "unknown"}
    if stands is not None:
        status, body = 409, body | {"code": "step_conflict", "step": int(stands[1]), "applied": "no"}
    elif "START flag" in message:
        status, body["code"] = 410, "session_expired"
    return Reply(status, json.dumps({"error": body}).encode()) if status else NOTHING


@dataclass(slots=True)
class Window:
    """Requests that are sent one behind the other; the session stands at the step `stands`, as far as is known."""

    asks: Sequence[Ask]
    parts: list[Part]
    stands: int
    refused: bool = False

    @property
    def first(self) -> int:
        return self.parts[0].request.step or 0

    @property
    def rest(self) -> int:
        """The place of the first request that is to be sent, or sent again."""
        return self.stands - self.first

    @property
    def done(self) -> bool:
        return self.refused or self.rest == len(self.parts)

    def take(self, replies: Sequence[Reply], sent: float) -> None:
        """Note the replies to the requests from `rest` on; what is behind one that failed, is refused for that."""
        failed, at, rest = False, time.monotonic(), self.parts[self.rest :]
        for part, reply in zip_longest(rest, replies, fillvalue=NOTHING):
            assert isinstance(part, Part)
            answered = reply.status == 200
            part.attempts.append(Attempt(sent, at, reply if answered or not failed else NOTHING))
            if answered:
                self.stands = (part.request.step or 0) + 1
            elif not failed:
                failed = True
                self._refused(part)

    def _refused(self, part: Part) -> None:
        """See whether a refusal is for good, or tells that requests were applied whose answers were lost."""
        told = part.reply.told_step
        again = any(len(one.attempts) > 1 for one in self.parts)
        if again and told is not None and (part.request.step or 0) < told <= self.first + len(self.parts):
            self.stands = told
        else:
            self.refused = part.settled

    def events(self) -> Iterator[Event]:
        """What the journal has of the requests: those before a failed one, and that one."""
        for part in self.parts:
            answered, applied = part.reply.status == 200, (part.request.step or 0) < self.stands
            yield Event("step" if answered or not applied else "unread", [part])
            if not (answered or applied):
                return


@dataclass(slots=True, eq=False)
class SequenceClient(PackageClient):
    """One client; what it does follows from the run's seed and its own number."""

    native: Connections = field(init=False)
    serial: int = 0

    def __post_init__(self) -> None:
        PackageClient.__post_init__(self)  # super() does not know classes with slots
        self.native = Connections(self.port, self.api_key)

    @abstractmethod
    def connect(self) -> Any:
        """The package's client, as a context."""

    @abstractmethod
    async def exchange(self, client: Any, asks: Sequence[Ask]) -> list[Reply]:
        """Send requests, and return the replies that came; silence may leave some out at the end."""

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    @property
    def window(self) -> int:
        """How many requests it sends without waiting for answers, at the most."""
        return 1

    async def run(self) -> None:
        """Work until the run ends."""
        while not self.shared.stopping():
            async with self.connect() as client:
                await self._sequence(client)

    async def finish(self) -> None:
        """Sequences end with their last request."""

    async def close(self) -> None:
        self.native.close()

    async def _sequence(self, client: Any) -> None:
        """One sequence from its start to its end, unless a rollback ends it before."""
        self.serial += 1
        number = 1_000_000 * self.number + self.serial
        name: int | str = f"sequence {number}" if self.choose.random() < 0.5 else number
        journal = Session("", self.role.model, self.role.durability, self.role.ttl, time.monotonic(), 0.0, self.number)
        journal.opening = contents.choose_opening(self.role.model, self.choose)
        self.shared.operations["sequences"] += 1
        asks, length = list[Ask](), self.choose.randint(5, 60)
        while len(asks) < length:
            count = min(length - len(asks), self.choose.randint(1, self.window))
            for _ in range(count):
                asks.append(self._ask(name, asks, length, journal.opening or {}))
            if not await self._advance(client, journal, asks[-count:]):
                break
            if len(asks) < length and self.choose.random() < _LOOKS:
                await self._look(journal)
            await asyncio.sleep(self.choose.uniform(0.0, 2 * self.role.pause))

    def _ask(self, name: int | str, before: Sequence[Ask], length: int, opening: dict[str, Any]) -> Ask:
        content = contents.choose(self.role.model, self.choose, 0, generate=False)
        assert isinstance(content, Words | Numbers)
        fed = len(content.texts if isinstance(content, Words) else content.values)
        step, timesteps = len(before), before[-1].timesteps if before else 0
        vector = None if before else opening.get("vector")
        return Ask(name, Request(content, step, f"sequence {step}"), step == length - 1, timesteps + fed, vector)

    async def _advance(self, client: Any, journal: Session, asks: Sequence[Ask]) -> bool:
        """Send requests until all are answered for good, and write them down; False if the sequence is over."""
        window = Window(asks, [Part(ask.request) for ask in asks], asks[0].request.step or 0)
        started = time.monotonic()
        while True:
            sent = time.monotonic()
            window.take(await self.exchange(client, asks[window.rest :]), sent)
            if window.refused and self._ended(window):
                window.parts = window.parts[: window.rest]
            if window.done or time.monotonic() > started + PATIENCE:
                break
            self.shared.operations["sequence requests sent again"] += 1
            await asyncio.sleep(self.choose.uniform(0.1, 1.0))
        return self._write(journal, window)

    def _ended(self, window: Window) -> bool:
        """Whether the sequence is gone since its last request was applied, whose answer was lost."""
        lost = any(part.lost for part in window.parts)
        if window.parts[window.rest].reply.status != 410 or not (window.asks[-1].last and lost):
            return False
        self.shared.operations["sequences that ended with a lost answer"] += 1
        return True

    def _write(self, journal: Session, window: Window) -> bool:
        for event in window.events() if window.parts else ():
            reply = event.parts[0].reply
            if not journal.id and reply.status == 200:
                journal.id, journal.at = reply.json["session_id"], event.at
                self.shared.sessions.append(journal)
            journal.events.append(event)
        if window.refused and not journal.id:
            self.shared.wrong.append(f"client {self.number}: a sequence could not begin: {journal.excerpt(0)}")
        return window.done and not window.refused

    async def _look(self, journal: Session) -> None:
        """Look at the sequence over the native API."""
        part, started = Part(Request()), time.monotonic()
        while not part.settled and time.monotonic() < started + PATIENCE:
            sent = time.monotonic()
            reply = await self.native.send("GET", f"/v1/sessions/{journal.id}")
            part.attempts.append(Attempt(sent, time.monotonic(), reply))
            await asyncio.sleep(0.0 if part.settled else 0.3)
        journal.events.append(Event("get", [part]))
