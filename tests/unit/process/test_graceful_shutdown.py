"""The order in which a worker's connections end."""

import asyncio
from dataclasses import dataclass, field

import pytest

from service.application.limits.admission import Admission
from service.process import graceful_shutdown as module
from service.process.graceful_shutdown import GracefulShutdown
from tests.timing import within

FOREVER = 3600.0


@dataclass
class Fake:
    """Connections, some of them idle, some busy; writes down what is done to them, and what is admitted then."""

    admission: Admission
    idle: int = 0
    busy: int = 0
    done: list[tuple[str, bool]] = field(default_factory=list)
    accepts_no_more: asyncio.Event = field(default_factory=asyncio.Event)
    closed_idle: asyncio.Event = field(default_factory=asyncio.Event)

    def stop_accepting(self) -> None:
        self._note("stop accepting")
        self.accepts_no_more.set()

    def connected(self) -> bool:
        return self.idle + self.busy > 0

    def move_streams(self) -> None:
        self._note("close websockets")

    def close_idle(self) -> None:
        self._note("close idle")
        self.idle = 0
        self.closed_idle.set()

    async def cancel_requests(self) -> None:
        self._note("cancel")

    def _note(self, what: str) -> None:
        self.done.append((what, not self.admission.closed))


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_CLOSE_SECONDS", 0.001)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.0005)


@within(30)
async def test_a_worker_alone_stops_accepting_at_once_and_ends_with_its_last_connection() -> None:
    admission = Admission(1)
    fake, drain = Fake(admission, busy=1), GracefulShutdown(admission, drain_seconds=FOREVER, grace_seconds=FOREVER)
    running = asyncio.create_task(drain.run(fake))
    await asyncio.sleep(0)
    assert not fake.done
    drain.begin(alone=True)
    assert (admission.draining, admission.closed) == (True, False)
    await fake.accepts_no_more.wait()
    assert fake.done == [("stop accepting", True), ("close websockets", True)]
    fake.busy = 0
    await running
    assert [name for name, _ in fake.done[2:]] == ["stop accepting", "close websockets", "close idle", "cancel"]
    assert admission.closed


@within(30)
async def test_a_worker_that_goes_with_all_others_accepts_until_its_drain_time_is_over() -> None:
    admission = Admission(1)
    fake, drain = Fake(admission), GracefulShutdown(admission, drain_seconds=FOREVER, grace_seconds=FOREVER)
    running = asyncio.create_task(drain.run(fake))
    drain.begin(alone=False)
    for _ in range(100):
        await asyncio.sleep(0)
    assert fake.done == []
    drain.skip_drain()
    await running
    assert fake.done == [
        ("stop accepting", True),
        ("close websockets", True),
        ("close idle", False),
        ("cancel", False),
    ]


@within(30)
async def test_idle_connections_are_closed_and_busy_ones_awaited_once_nobody_is_admitted() -> None:
    admission = Admission(1)
    fake, drain = (
        Fake(admission, idle=1, busy=1),
        GracefulShutdown(admission, drain_seconds=0, grace_seconds=FOREVER),
    )
    running = asyncio.create_task(drain.run(fake))
    drain.begin(alone=True)
    await fake.closed_idle.wait()
    assert fake.done[-1] == ("close idle", False)
    assert not running.done()
    fake.busy = 0
    await running
    assert fake.done[-1] == ("cancel", False)


@within(30)
async def test_what_is_not_done_at_the_end_of_the_grace_time_is_cancelled() -> None:
    admission = Admission(1)
    fake, drain = Fake(admission, busy=1), GracefulShutdown(admission, drain_seconds=FOREVER, grace_seconds=0.01)
    drain.begin(alone=True)
    await drain.run(fake)
    assert fake.connected()
    assert fake.done[-1] == ("cancel", False)


@within(30)
async def test_a_second_beginning_changes_nothing() -> None:
    admission = Admission(1)
    fake, drain = Fake(admission), GracefulShutdown(admission, drain_seconds=0, grace_seconds=FOREVER)
    drain.begin(alone=False)
    drain.begin(alone=True)
    await drain.run(fake)
    assert [name for name, _ in fake.done].count("stop accepting") == 1
