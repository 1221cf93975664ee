"""Which workers start, leave and replace each other."""

import itertools
from dataclasses import dataclass, field

from service.process.worker_pool import BACKOFF, HEALTHY_SECONDS, WorkerPool
from service.process.worker_process import EX_CONFIG

PIDS = itertools.count(1)


@dataclass
class Hand:
    """A worker that does as the test says."""

    pid: int = field(default_factory=lambda: next(PIDS))
    status: int | None = None
    up: bool = False
    told_to_leave: bool = False
    goes: bool = False

    def ended(self) -> int | None:
        return self.status

    def ready(self) -> bool:
        return self.up

    def draining(self) -> bool:
        return self.goes

    def leave(self) -> None:
        self.told_to_leave = True

    def stop(self) -> None: ...
    def skip_drain(self) -> None: ...
    def kill(self) -> None: ...


class Ship:
    """A pool of such workers, and everyone who was ever started."""

    def __init__(self, size: int) -> None:
        self.started: list[Hand] = []
        self.pool = WorkerPool(size, self._start)
        self.now = 100.0
        self.look()

    def _start(self) -> Hand:
        self.started.append(Hand())
        return self.started[-1]

    def look(self, later: float = 1.0) -> None:
        self.now += later
        self.pool.supervise(self.now)

    def all_up(self) -> None:
        for hand in self.started:
            hand.up = True

    def serving(self) -> int:
        """How many accept connections."""
        return sum(hand.up and not hand.told_to_leave and hand.status is None for hand in self.started)


def test_the_dead_are_replaced_at_once_and_after_growing_pauses_when_they_keep_dying() -> None:
    ship = Ship(1)
    pauses = []
    for _ in range(len(BACKOFF) + 1):
        begun, count = ship.now, len(ship.started)
        ship.started[-1].status = 1
        ship.look(0)
        while len(ship.started) == count:
            ship.look(0.5)
        pauses.append(ship.now - begun)
    assert pauses[0] <= 0.5
    assert pauses == sorted(pauses)
    assert pauses[-1] >= BACKOFF[-1]
    ship.look(HEALTHY_SECONDS)
    ship.started[-1].status = 1
    ship.look(0)
    assert ship.started[-1].status is None


def test_wrong_settings_end_the_service() -> None:
    ship = Ship(2)
    ship.started[0].status = EX_CONFIG
    ship.look()
    assert ship.pool.misconfigured


def test_a_worker_that_someone_else_told_to_go_is_replaced_while_it_drains() -> None:
    ship = Ship(2)
    ship.all_up()
    ship.started[0].goes = True
    ship.look()
    ship.look()
    assert len(ship.started) == 3
    assert len(ship.pool.members()) == 3
    ship.started[0].status = 0
    ship.look()
    assert {hand.pid for hand in ship.pool.members()} == {hand.pid for hand in ship.started[1:]}


def test_renewing_replaces_all_one_by_one_and_never_leaves_fewer_that_serve() -> None:
    ship = Ship(3)
    ship.all_up()
    first = list(ship.started)
    ship.pool.rolling_restart(ship.now + 0.5)
    for number in range(3):
        ship.look()
        ship.look()
        assert len(ship.started) == 4 + number
        assert sum(hand.told_to_leave for hand in first) == number
        ship.started[-1].up = True
        ship.look()
        assert ship.serving() == 3
        assert sum(hand.told_to_leave for hand in first) == number + 1
        ship.look()
        assert len(ship.started) == 4 + number, "the next one starts when the last one has gone"
        next(hand for hand in first if hand.told_to_leave and hand.status is None).status = 0
    ship.look()
    ship.look()
    assert len(ship.started) == 6
    assert {hand.pid for hand in ship.pool.members()} == {hand.pid for hand in ship.started[3:]}


def test_a_renewal_ends_when_a_new_worker_does_not_come_up_and_the_old_ones_stay() -> None:
    ship = Ship(2)
    ship.all_up()
    ship.pool.rolling_restart(ship.now + 0.5)
    ship.look()
    ship.started[-1].status = EX_CONFIG
    ship.look()
    ship.look()
    assert len(ship.started) == 3
    assert ship.serving() == 2
    assert not ship.pool.misconfigured


def test_a_second_renewal_replaces_those_that_the_first_has_already_started() -> None:
    ship = Ship(1)
    ship.all_up()
    ship.pool.rolling_restart(ship.now + 0.5)
    ship.look()
    ship.pool.rolling_restart(ship.now + 0.5)
    while len(ship.started) < 3:
        ship.all_up()
        for hand in ship.started:
            hand.status = 0 if hand.told_to_leave else None
        ship.look()
    ship.all_up()
    ship.look()
    assert [hand.told_to_leave for hand in ship.started] == [True, True, False]


def test_a_new_worker_that_nobody_needs_any_more_leaves_again() -> None:
    ship = Ship(1)
    ship.all_up()
    ship.pool.rolling_restart(ship.now + 0.5)
    ship.look()
    old, successor = ship.started
    old.status = 1
    ship.look()
    assert len(ship.started) == 3, "the dead one was replaced by a worker that is new"
    ship.all_up()
    ship.look()
    assert [hand.told_to_leave for hand in ship.started] == [False, True, False]
    assert successor in ship.pool.members()
