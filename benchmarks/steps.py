"""Session steps over HTTP, with one server at a time on the machine, in alternating rounds."""

import http.client
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import generator
from benchmarks.generator import ConnectionUse, GeneratorFailed, Load
from benchmarks.processes import NotStarted
from benchmarks.servers import RunningServer, Server
from benchmarks.targets import Row

WARM_UP_SECONDS = 2.0
WARM_UP_CONNECTIONS = 16
SETTLE_SECONDS = 10.0
MIN_ANSWERS, MAX_SECONDS = 4, 15.0
#: What a server that fails raises; ValueError and KeyError stand for answers that are not as expected.
FAILURES = (
    *(NotStarted, GeneratorFailed, OSError, subprocess.TimeoutExpired),
    *(http.client.HTTPException, ValueError, KeyError),
)


@dataclass(frozen=True)
class Plan:
    """Rounds and duration of the measurement; `stay` and `move` are numbers of connections."""

    rounds: int
    seconds: float
    stay: Sequence[int]
    move: Sequence[int]

    def loads(self) -> Iterator[tuple[ConnectionUse, int]]:
        yield from (("stay", connections) for connections in self.stay)
        yield from (("move", connections) for connections in self.move)


@dataclass(frozen=True)
class Steps:
    """Results: a row per server, round and load; for each server that failed, the last reason and the failed rounds."""

    rows: list[Row]
    failures: dict[str, str]
    failed_rounds: dict[str, int]


def measure(servers: Sequence[Server], model: Path, plan: Plan, print_progress: Callable[[str], None]) -> Steps:
    """Measure all servers. A server that fails in a round keeps its other rows and starts again in the next one."""
    rows: list[Row] = []
    failures: dict[str, str] = {}
    failed_rounds: Counter[str] = Counter()
    for number in range(1, plan.rounds + 1):
        for server in servers:
            try:
                with server.start(model) as started:
                    rows.extend(_measure_server(server, started, plan, number, print_progress))
            except FAILURES as error:
                failures[server.name] = str(error)
                failed_rounds[server.name] += 1
                print_progress(f"{server.name}: {error}")
    return Steps(rows, failures, dict(failed_rounds))


def _measure_server(
    server: Server, started: RunningServer, plan: Plan, number: int, print_progress: Callable[[str], None]
) -> Iterator[Row]:
    warm_up = _load(started, "stay", WARM_UP_CONNECTIONS, WARM_UP_SECONDS)
    if not warm_up.rate:
        raise NotStarted(f"no step was answered, {warm_up.errors} were refused or broke")
    for connection_use, connections in plan.loads():
        load = _load(started, connection_use, connections, _seconds(plan, connections, warm_up.rate))
        print_progress(
            f"round {number}, {server.name}, {connections} connections, sessions {connection_use}: "
            f"{load.rate:,.0f} steps/s, p50 {load.p50:.1f} ms, p99 {load.p99:.1f} ms, {load.errors} errors"
        )
        yield {
            "server": server.name,
            "round": number,
            "manner": connection_use,
            "connections": connections,
            **asdict(load),
        }


def _seconds(plan: Plan, connections: int, rate: float) -> float:
    """Return the duration of a measurement: long enough that each connection gets some answers from a slow server."""
    return min(MAX_SECONDS, max(plan.seconds, MIN_ANSWERS * connections / rate))


def _load(started: RunningServer, connection_use: ConnectionUse, connections: int, seconds: float) -> Load:
    sessions = started.open_sessions(generator.sessions_for(connections, connection_use))
    load = generator.run(started.port, sessions, connections, connection_use, seconds)
    # A server still works on requests that the generator no longer waits for: one per connection.
    time.sleep(min(SETTLE_SECONDS, connections / max(load.rate, 1)))
    return load
