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

    Clients are served in turn. While `is_shared` returns true, because several clients have requests under way, each
    rests after its part of a slice, REST times as long as that took: a step of another client takes several turns of
    the event loop, and would wait for a slice in each of them.
    """

    __slots__ = ("_is_shared", "_resting", "_spent", "_waiting")

    def __init__(self, is_shared: Callable[[], bool] = lambda: False) -> None:
        self._is_shared = is_shared
        self._spent: dict[str, float] = {}  # in this turn, by client
        self._resting: set[str] = set()
        self._waiting: dict[str, deque[_Part]] = {}  # the client that is next in turn comes first

    async def run(self, client: str, function: Callable[[], ResultT]) -> ResultT:
        """Return what a part of a computation returns, or raise what it raises, when there is time for it."""
        if client not in self._waiting and client not in self._resting and self._has_time():
            started = time.monotonic()
            try:
                return function()
            finally:
                self._charge(client, time.monotonic() - started)
        outcome: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append((copy_context(), function, outcome))
        return await outcome

    def _has_time(self) -> bool:
        return not self._spent or sum(self._spent.values()) < TURN_SECONDS

    def _charge(self, client: str, seconds: float) -> None:
        if not self._spent:
            asyncio.get_running_loop().call_soon(self._end_turn)
        self._spent[client] = self._spent.get(client, 0.0) + seconds

    def _end_turn(self) -> None:
        """Begin a turn of the event loop, in which those who had their part of the one before may have to rest."""
        spent, self._spent = self._spent, {}
        if self._is_shared():
            for client, seconds in spent.items():
                self._resting.add(client)
                asyncio.get_running_loop().call_later(REST * seconds, self._end_rest, client)
        self._resume()

    def _end_rest(self, client: str) -> None:
        self._resting.discard(client)
        self._resume()

    def _resume(self) -> None:
        """Run parts that wait, until the time of this turn is over."""
        while self._has_time():
            client = next((client for client in self._waiting if client not in self._resting), None)
            if client is None:
                return
            self._run_next(client)

    def _run_next(self, client: str) -> None:
        parts = self._waiting.pop(client)
        context, function, outcome = parts.popleft()
        if parts:
            self._waiting[client] = parts  # behind the others
        if not outcome.done():
            started = time.monotonic()
            _resolve(context, function, outcome)
            self._charge(client, time.monotonic() - started)


def _resolve(context: Context, function: Callable[[], Any], outcome: "asyncio.Future[Any]") -> None:
    try:
        outcome.set_result(context.run(function))
    except Exception as error:  # noqa: BLE001 - it concerns whoever waits for the outcome
        outcome.set_exception(error)
