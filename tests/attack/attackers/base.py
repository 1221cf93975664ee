"""What all attackers have in common: their target, what they count, and how they are told to stop."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from tests.attack.wire import Connection, Response, connect, pack


@dataclass(frozen=True, slots=True)
class Target:
    """The service under attack, as an attacker on the same machine knows it: its port, folders and processes.

    `scale` shrinks the numbers of connections in a short run; `source` is the attacker's own loopback address.
    """

    port: int
    key: str
    seconds: float
    grpc_port: int = 0
    models: Path = Path()
    state: Path = Path()
    workers: tuple[int, ...] = ()
    store: tuple[int, ...] = ()
    seed: int = 1
    scale: float = 1.0
    count: int = 1_000_000_000
    source: str | None = None

    def scaled(self, number: int) -> int:
        """Return a number of connections for this run."""
        return max(1, round(number * self.scale))

    def connection(self) -> Connection:
        return Connection(self.port, self.source)

    async def connect(self, port: int | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await connect(port or self.port, self.source)


@dataclass(slots=True)
class Tally:
    """What an attacker sent and got back, by label.

    `failures` is what the attacker itself knows to be wrong, and `examples` hold responses that should not be.
    """

    labels: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    until: float = float("inf")

    def running(self) -> bool:
        return time.monotonic() < self.until

    async def wait(self) -> None:
        """Return when the attack is over."""
        await asyncio.sleep(max(0.0, self.until - time.monotonic()))

    def note(self, response: Response, request: str = "") -> Response:
        """Count a response, and keep the first example of each kind of server error."""
        self.labels[response.label] += 1
        if response.status == 500 or response.code in {"internal_error", "state_corrupted"}:
            self.examples.setdefault(response.label, f"{request[:300]} -> {response.body[:300]!r}")
        return response

    def fail(self, error: BaseException) -> None:
        """Count a request without a response."""
        self.labels[type(error).__name__] += 1


class Attacker(Protocol):
    """One kind of attack. `family` decides which bounds its row is judged by."""

    @property
    def name(self) -> str:
        """The name on the command line and in the table."""

    @property
    def family(self) -> str:
        """One of the families of bounds.py."""

    async def run(self, target: Target, tally: Tally) -> None:
        """Attack until `tally.running()` is false; the caller cancels what takes longer."""


@runtime_checkable
class Prepared(Protocol):
    """An attacker that needs time before it can attack."""

    def prepare(self) -> None:
        """Get ready; the time of the attack begins afterwards."""


FAILURES = (OSError, EOFError, ValueError)


async def ask(connection: Connection, tally: Tally, method: str, path: str, body: object, key: str) -> Response | None:
    """Send one request and count the outcome; None if there was no response."""
    try:
        return tally.note(await connection.send(pack(method, path, body, key)), f"{method} {path}")
    except FAILURES as error:
        tally.fail(error)
        await asyncio.sleep(0.05)
        return None


async def create_session(target: Target, tally: Tally, **fields: object) -> str | None:
    """Open a session, retried while the attack runs; None if every creation was refused."""
    connection, luck = target.connection(), random.Random(target.seed)
    try:
        while tally.running():
            response = await ask(
                connection, tally, "POST", "/v1/sessions", {"model": "next-word", **fields}, target.key
            )
            if response is not None and response.status == 201:
                return str(response.json["id"])
            await asyncio.sleep(luck.uniform(0.1, 0.2))
        return None
    finally:
        connection.close()
