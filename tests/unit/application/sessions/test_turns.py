"""Turns of sessions."""

import asyncio

import pytest

from service.application.deadlines import Deadline
from service.application.sessions.turns import SessionTurns, Start
from service.domain.errors import DeadlineExceeded
from tests.fakes import ManualClock

SESSION, OTHER = ("tenant", "one"), ("tenant", "two")


def starter(started: list[str], name: str, *, needed: bool = True) -> Start:
    """Return a `start` that notes its name, and that needs the turn or not."""

    def start() -> bool:
        started.append(name)
        return needed

    return start


def test_turns_of_one_session_come_one_after_the_other_in_their_order() -> None:
    turns, started = SessionTurns(), list[str]()
    for name in ("a", "b", "c"):
        turns.enter(SESSION, starter(started, name))
    assert started == ["a"]
    turns.leave(SESSION)
    assert started == ["a", "b"]
    turns.leave(SESSION)
    assert started == ["a", "b", "c"]


def test_another_session_does_not_wait() -> None:
    turns, started = SessionTurns(), list[str]()
    turns.enter(SESSION, starter(started, "a"))
    turns.enter(OTHER, starter(started, "b"))
    assert started == ["a", "b"]


def test_a_tenant_has_sessions_of_its_own() -> None:
    turns, started = SessionTurns(), list[str]()
    turns.enter(SESSION, starter(started, "a"))
    turns.enter(("another", SESSION[1]), starter(started, "b"))
    assert started == ["a", "b"]


def test_a_turn_that_is_not_needed_goes_to_the_next() -> None:
    turns, started = SessionTurns(), list[str]()
    turns.enter(SESSION, starter(started, "a"))
    for name in ("b", "c"):
        turns.enter(SESSION, starter(started, name, needed=False))
    turns.enter(SESSION, starter(started, "d"))
    turns.leave(SESSION)
    assert started == ["a", "b", "c", "d"]


def test_thousands_of_turns_that_are_not_needed_do_not_exhaust_the_stack() -> None:
    turns, started = SessionTurns(), list[str]()
    turns.enter(SESSION, starter(started, "a"))
    for _ in range(5000):
        turns.enter(SESSION, starter(started, "b", needed=False))
    turns.leave(SESSION)
    assert len(started) == 5001


def test_an_idle_session_needs_no_memory() -> None:
    turns = SessionTurns()
    turns.enter(SESSION, starter([], "a"))
    turns.enter(OTHER, starter([], "b", needed=False))
    turns.leave(SESSION)
    assert len(turns) == 0


async def test_a_held_turn_ends_with_its_block() -> None:
    turns, started = SessionTurns(), list[str]()
    async with turns.hold(SESSION, Deadline.after(ManualClock(), 60)):
        turns.enter(SESSION, starter(started, "a"))
        assert started == []
    assert started == ["a"]


async def test_who_waits_for_a_turn_beyond_the_deadline_gives_it_up() -> None:
    turns = SessionTurns()
    turns.enter(SESSION, starter([], "a"))
    with pytest.raises(DeadlineExceeded):
        async with turns.hold(SESSION, Deadline.after(ManualClock(), 0.005)):
            raise AssertionError("it is not our turn")
    turns.leave(SESSION)
    assert len(turns) == 0


async def test_who_is_cancelled_as_the_turn_comes_gives_it_up() -> None:
    turns, started = SessionTurns(), list[str]()
    turns.enter(SESSION, starter(started, "a"))

    async def hold() -> None:
        async with turns.hold(SESSION, Deadline.after(ManualClock(), 60)):
            await asyncio.Event().wait()

    holder = asyncio.create_task(hold())
    await asyncio.sleep(0)
    turns.enter(SESSION, starter(started, "c"))
    turns.leave(SESSION)
    holder.cancel()
    await asyncio.wait([holder])
    assert started == ["a", "c"]
