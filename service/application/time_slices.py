"""Time slices of long computations on the event loop."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, TypeAlias, TypeVar

ResultT = TypeVar("ResultT")

#: Longest time that a computation holds the event loop at once, as long as its parts are short.
SLICE_SECONDS = 0.005
#: Longest time that the computations of many requests hold it in one turn together.
TURN_SECONDS = 0.002
#: How many times as long as their slice such computations rest beside other clients.
REST = 4.0

#: A part of a computation that waits, its context, and the future that takes its outcome.
_Part: TypeAlias = "tuple[Context, Callable[[], Any], asyncio.Future[Any]]"


class TimeSlices:
    """Divides a computation of many parts: between parts, it lets the event loop run when a time slice is over."""

    __slots__ = ("_end",)

    def __init__(self) -> None:
        self._end = time.monotonic() + SLICE_SECONDS

    async def pause(self) -> None:
        """Let the event loop run if the time slice is over."""
        if time.monotonic() >= self._end:
            await asyncio.sleep(0)
            self._end = time.monotonic() + SLICE_SECONDS


class TurnSlices:
    """Bounds the time that the computations of many requests take in one turn of the event loop together.

    Clients are served in turn. While `is_shared` returns true, because several clients have requests under way, the
    computations rest after each slice, REST times as long as it took: a step of another client takes several turns
    of the event loop, and would wait for a slice in each of them.
    """

    __slots__ = ("_is_shared", "_resting", "_turns", "_used", "_waiting")

    def __init__(self, is_shared: Callable[[], bool] = lambda: False) -> None:
        self._is_shared = is_shared
        self._used: float | None = None  # the time used in this turn; None before the first part in it
        self._resting = False
        self._waiting: dict[str, deque[_Part]] = {}
        self._turns: deque[str] = deque()

    async def run(self, client: str, function: Callable[[], ResultT]) -> ResultT:
        """Return what a part of a computation returns, or raise what it raises, when there is time for it."""
        if not self._resting and (self._used is None or self._used < TURN_SECONDS):
            started = time.monotonic()
            try:
                return function()
            finally:
                self._charge(time.monotonic() - started)
        outcome: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        if client not in self._waiting:
            self._waiting[client] = deque()
            self._turns.append(client)
        self._waiting[client].append((copy_context(), function, outcome))
        return await outcome

    def _charge(self, seconds: float) -> None:
        if self._used is None:
            self._used = 0.0
            asyncio.get_running_loop().call_soon(self._end_turn)
        self._used += seconds

    def _end_turn(self) -> None:
        """Begin a turn of the event loop, or rest before it."""
        rest = REST * (self._used or 0.0) if self._is_shared() else 0.0
        self._used, self._resting = None, bool(rest or self._turns)
        if self._resting:
            asyncio.get_running_loop().call_later(rest, self._resume)

    def _resume(self) -> None:
        """Run parts that have waited, until the time of this turn is over."""
        self._resting = False
        while self._turns and (self._used is None or self._used < TURN_SECONDS):
            client = self._turns.popleft()
            context, function, outcome = self._waiting[client].popleft()
            if self._waiting[client]:
                self._turns.append(client)
            else:
                del self._waiting[client]
            if not outcome.done():
                started = time.monotonic()
                _resolve(context, function, outcome)
                self._charge(time.monotonic() - started)


def _resolve(context: Context, function: Callable[[], Any], outcome: "asyncio.Future[Any]") -> None:
    try:
        outcome.set_result(context.run(function))
    except Exception as error:  # noqa: BLE001 - it concerns whoever waits for the outcome
        outcome.set_exception(error)
