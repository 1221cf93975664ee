"""Session steps under overload: an open-loop arrival process at up to twice the capacity of the service.

    python -m benchmarks.overload [--quick] [--json FILE]

Steps arrive at random times (Poisson), each of a session and over a connection that are free, and say by
X-Request-Timeout-Ms that they wait for a second. Goodput are the steps per second that were answered 200 within that
second; the others should be refused by 503 at once. The load grows by half, load after load, until goodput does not
follow; the best goodput of all is the capacity, and twice of it is offered at the end. Where that is answered better
than all before, the machine was slow meanwhile: then twice of that is offered.
"""

import argparse
import asyncio
import json
import random
import statistics
import tempfile
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvloop

from benchmarks import generator, ours, ref_lm
from benchmarks.generator import GeneratorFailed, Session

GROWTH, LOADS = 1.5, 12
#: How often twice the capacity is offered, at the most.
TWICE = 4
#: Goodput follows a load as long as it is so much of it.
FOLLOWS = 0.8
CONNECTIONS = 2000
SESSIONS = 3000
IN_TIME_SECONDS = 1.0
LATE_SECONDS = 5.0
HEADERS = f"Host: x\r\nContent-Type: application/json\r\nX-Request-Timeout-Ms: {1000 * IN_TIME_SECONDS:.0f}\r\n"
SEED = 1


@dataclass
class Walk:
    """A session and how many of its steps were applied."""

    session: Session
    step: int = 0


@dataclass
class Tally:
    """Results of the steps of one load; latencies in seconds from the scheduled arrival of each step."""

    good: list[float] = field(default_factory=list)
    late: int = 0
    refused: list[float] = field(default_factory=list)
    errors: int = 0
    #: Due while no connection or no session was free: the answers to as many others were missing.
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

    def told(self, rate: float, seconds: float) -> dict[str, float | None]:
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
    """Return the 99th percentile in milliseconds, None of fewer than two."""
    return 1000 * statistics.quantiles(seconds, n=100)[98] if len(seconds) > 1 else None


class Connection(asyncio.Protocol):
    """One kept connection with at most one request under way."""

    def __init__(self) -> None:
        self._received = b""
        self._answered: Callable[[int], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, session: Session, step: int, answered: Callable[[int], None]) -> None:
        """Send one step; `answered` is called with the status, 0 where the connection broke."""
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
class Crowd:
    """Connections and sessions that are free, and how steps go out."""

    connections: deque[Connection]
    walks: deque[Walk]

    def send(self, tally: Tally, due: float) -> None:
        """Send a step that was due at a time of the event loop's clock."""
        if not self.connections or not self.walks:
            tally.unsent += 1
            return
        loop, connection, walk = asyncio.get_running_loop(), self.connections.popleft(), self.walks.popleft()

        def answered(status: int) -> None:
            tally.add(status, loop.time() - due)
            walk.step += status == 200
            if status:
                self.connections.append(connection)
                self.walks.append(walk)

        connection.send(walk.session, walk.step, answered)


async def offer(crowd: Crowd, rate: float, seconds: float) -> Tally:
    """Send steps at this rate, whatever becomes of them; wait for the last answers."""
    loop, chance, tally = asyncio.get_running_loop(), random.Random(SEED), Tally()
    due = begin = loop.time()
    while due < begin + seconds:
        if (pause := due - loop.time()) > 0:
            await asyncio.sleep(pause)
        crowd.send(tally, due)
        due += chance.expovariate(rate)
    free, patience = len(crowd.walks), loop.time() + LATE_SECONDS
    while free < SESSIONS and loop.time() < patience:
        await asyncio.sleep(0.05)
        free = len(crowd.walks)
    return tally


async def sweep(port: int, sessions: list[Session], first: float, seconds: float) -> list[dict[str, float | None]]:
    """Offer growing loads, from `first` on, and twice the capacity at the end."""
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(Connection, "127.0.0.1", port) for _ in range(CONNECTIONS)]
    crowd = Crowd(deque(connection for _, connection in made), deque(map(Walk, sessions)))
    told, rate, best, follows = [], first, 0.0, True
    while follows and len(told) < LOADS:
        tally = await offer(crowd, rate, seconds)
        told.append(tally.told(rate, seconds))
        good = len(tally.good) / seconds
        rate, best, follows = rate * GROWTH, max(best, good), good > FOLLOWS * rate
    if not best:
        raise GeneratorFailed("no step was answered in time, whatever the load")
    for _ in range(TWICE):
        tally, capacity = await offer(crowd, 2 * best, seconds), best
        told.append(tally.told(2 * capacity, seconds))
        best = max(best, len(tally.good) / seconds)
        if best == capacity:
            break
    for _, connection in made:
        connection.close()
    return told


def measure(model: Path, seconds: float) -> dict[str, object]:
    """Return what came of each load; `of_peak` compares the last one, twice the capacity, with the best of all."""
    with ours.service(1, model.parent.parent) as running:
        warm = generator.run(running.port, ours.open_sessions(running.port, 16), 16, "stay", 2)
        with ThreadPoolExecutor(10) as pool:
            opened = pool.map(lambda _: ours.open_sessions(running.port, SESSIONS // 10), range(10))
            sessions = [session for some in opened for session in some]
        loads = uvloop.run(sweep(running.port, sessions, warm.rate / 2, seconds))
    goodput = [load["goodput"] or 0.0 for load in loads]
    return {"capacity": max(goodput), "loads": loads, "of_peak": goodput[-1] / max(goodput)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = json.dumps(measure(ref_lm.write(Path(folder)), 2 if given.quick else 5), indent=1)
    print(figures)
    if given.json is not None:
        given.json.write_text(figures + "\n", "utf-8")


if __name__ == "__main__":
    main()
