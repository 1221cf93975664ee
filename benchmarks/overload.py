"""Session steps under overload: an open-loop arrival process at up to twice the capacity of the service.

    python -m benchmarks.overload [--quick] [--json FILE]

Steps arrive at random times (Poisson). Each uses a free session and a free connection, and sets a time limit of one
second by X-Request-Timeout-Ms. Goodput is the number of steps per second that are answered 200 within that second; the
others should be rejected by 503 at once. Each load is half as large again as the one before, until goodput does not
follow. The best goodput is the capacity, and twice the capacity is offered at the end. If that load has a better
goodput than all before, the machine was slow meanwhile, and twice the new capacity is offered.
"""

import asyncio
import random
import statistics
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvloop

from benchmarks import generator, ours
from benchmarks.generator import GeneratorFailed, Session
from benchmarks.program import run_program

GROWTH, MAX_LOADS = 1.5, 12
#: The maximum number of times that twice the capacity is offered.
MAX_REPEATS = 4
#: Goodput follows a load as long as it is this fraction of it.
MIN_GOODPUT_FRACTION = 0.8
CONNECTIONS = 2000
SESSIONS = 3000
IN_TIME_SECONDS = 1.0
LATE_SECONDS = 5.0
HEADERS = f"Host: localhost\r\nContent-Type: application/json\r\nX-Request-Timeout-Ms: {1000 * IN_TIME_SECONDS:.0f}\r\n"
SEED = 1


@dataclass
class SteppedSession:
    """A session and its step count."""

    session: Session
    step: int = 0


@dataclass
class Tally:
    """Results of the steps of one load; latencies in seconds from the scheduled arrival of each step."""

    good: list[float] = field(default_factory=list)
    late: int = 0
    refused: list[float] = field(default_factory=list)
    errors: int = 0
    #: Steps that were due while no connection or no session was free.
    unsent: int = 0

    def add(self, status: int, seconds: float) -> None:
        if status == 503:
            self.refused.append(seconds)
        elif status != 200:
            self.errors += 1
        elif seconds > IN_TIME_SECONDS:
            self.late += 1
        else:
            self.good.append(seconds)

    def to_dict(self, rate: float, seconds: float) -> dict[str, float | None]:
        return {
            "offered": rate,
            "goodput": len(self.good) / seconds,
            "p99": p99(self.good),
            "refused_per_second": len(self.refused) / seconds,
            "refused_p99": p99(self.refused),
            "late": self.late,
            "errors": self.errors,
            "unsent": self.unsent,
        }


def p99(seconds: list[float]) -> float | None:
    """Return the 99th percentile in milliseconds, or None of fewer than two values."""
    return 1000 * statistics.quantiles(seconds, n=100)[98] if len(seconds) > 1 else None


class Connection(asyncio.Protocol):
    """A persistent connection with at most one request in progress."""

    def __init__(self) -> None:
        self._received = b""
        self._answered: Callable[[int], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, session: Session, step: int, answered: Callable[[int], None]) -> None:
        """Send one step; `answered` is called with the status, or 0 if the connection broke."""
        body = session.body % (1 + step * 7919 % 9999, step)
        self._answered = answered
        head = f"POST {session.path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n{HEADERS}"
        self._transport.write(f"{head}\r\n{body}".encode())

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(rest) >= length:
            self._received = rest[length:]
            self._settle(int(head[9:12]))

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - the base class's argument
        self._settle(0)

    def _settle(self, status: int) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            answered(status)

    def close(self) -> None:
        self._transport.close()


@dataclass
class Clients:
    """The free connections and sessions; `send` sends a step with one of each."""

    connections: deque[Connection]
    sessions: deque[SteppedSession]

    def send(self, tally: Tally, due: float) -> None:
        """Send a step that was due at the time `due` of the event loop's clock."""
        if not self.connections or not self.sessions:
            tally.unsent += 1
            return
        loop, connection, session = asyncio.get_running_loop(), self.connections.popleft(), self.sessions.popleft()

        def answered(status: int) -> None:
            tally.add(status, loop.time() - due)
            session.step += status == 200
            if status:
                self.connections.append(connection)
                self.sessions.append(session)

        connection.send(session.session, session.step, answered)


async def offer(clients: Clients, rate: float, seconds: float) -> Tally:
    """Send steps at this rate without waiting for answers, then wait for the last answers."""
    loop, rng, tally = asyncio.get_running_loop(), random.Random(SEED), Tally()
    due = begin = loop.time()
    while due < begin + seconds:
        if (pause := due - loop.time()) > 0:
            await asyncio.sleep(pause)
        clients.send(tally, due)
        due += rng.expovariate(rate)
    free, give_up_at = len(clients.sessions), loop.time() + LATE_SECONDS
    while free < SESSIONS and loop.time() < give_up_at:
        await asyncio.sleep(0.05)
        free = len(clients.sessions)
    return tally


async def sweep(port: int, sessions: list[Session], first: float, seconds: float) -> list[dict[str, float | None]]:
    """Offer growing loads, beginning with `first`, and twice the capacity at the end."""
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(Connection, "127.0.0.1", port) for _ in range(CONNECTIONS)]
    clients = Clients(deque(connection for _, connection in made), deque(map(SteppedSession, sessions)))
    results, rate, best, follows = [], first, 0.0, True
    while follows and len(results) < MAX_LOADS:
        tally = await offer(clients, rate, seconds)
        results.append(tally.to_dict(rate, seconds))
        good = len(tally.good) / seconds
        rate, best, follows = rate * GROWTH, max(best, good), good > MIN_GOODPUT_FRACTION * rate
    if not best:
        raise GeneratorFailed("no step was answered in time, whatever the load")
    for _ in range(MAX_REPEATS):
        tally, capacity = await offer(clients, 2 * best, seconds), best
        results.append(tally.to_dict(2 * capacity, seconds))
        best = max(best, len(tally.good) / seconds)
        if best == capacity:
            break
    for _, connection in made:
        connection.close()
    return results


def measure(model: Path, seconds: float) -> dict[str, object]:
    """Return the results of each load. `of_peak` is the goodput of the last load over the best goodput."""
    with ours.service(1, model.parent.parent) as running:
        warm = generator.run(running.port, ours.open_sessions(running.port, 16), 16, "stay", 2)
        with ThreadPoolExecutor(10) as pool:
            opened = pool.map(lambda _: ours.open_sessions(running.port, SESSIONS // 10), range(10))
            sessions = [session for group in opened for session in group]
        loads = uvloop.run(sweep(running.port, sessions, warm.rate / 2, seconds))
    goodput = [load["goodput"] or 0.0 for load in loads]
    return {"capacity": max(goodput), "loads": loads, "of_peak": goodput[-1] / max(goodput)}


def main() -> None:
    run_program(__doc__, lambda model, quick: measure(model, 2 if quick else 5))


if __name__ == "__main__":
    main()
