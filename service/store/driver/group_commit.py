"""Group commit: calls of one tick of the event loop, or that arrive while others are under way, share a round trip.

A caller waits on a future of its own. Its cancellation ends its waiting and nothing else: the round trip runs in a task
that no caller owns, and settles each future once. Calls for different servers never wait for each other. One timer
watches over all deadlines: hundreds of calls a second would set and cancel one each.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import inf

from service.store.driver.command_attempt import CommandResult
from service.store.driver.commands import Command
from service.store.driver.errors import ReplyLost, translate

Run = Callable[[Sequence[Command], float], Awaitable[list[CommandResult]]]


@dataclass(slots=True, eq=False)
class _Call:
    command: Command
    deadline: float
    answer: asyncio.Future[CommandResult]
    sent: bool = False

    def fail(self, reason: str, *, sent: bool) -> None:
        if not self.answer.done():
            self.answer.set_exception(translate(ReplyLost(reason, sent=sent), writes=self.command.writes))


class GroupCommit:
    """Feeds `run` with batches of up to `limit` commands, at most `in_flight` of them at a time."""

    def __init__(self, run: Run, in_flight: int = 1, limit: int = 256) -> None:
        self._run = run
        self._free = in_flight
        self._limit = limit
        self._waiting: deque[_Call] = deque()
        self._unanswered: set[_Call] = set()
        self._flights: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._alarm: asyncio.Handle | None = None
        self._alarm_at = inf

    async def submit(self, command: Command, deadline: float) -> CommandResult:
        """The command's answer. Raises StoreUnavailable when its turn does not come by `deadline`."""
        loop = asyncio.get_running_loop()
        call = _Call(command, deadline, loop.create_future())
        self._waiting.append(call)
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._launch)
        self._unanswered.add(call)
        if deadline < self._alarm_at:
            self._set_alarm(deadline)
        try:
            return await call.answer
        finally:
            self._unanswered.discard(call)

    async def drain(self) -> None:
        """Return when nothing is waiting or under way."""
        while self._flights or self._waiting:
            await asyncio.wait(self._flights) if self._flights else await asyncio.sleep(0)

    def _set_alarm(self, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        # The handle is not asked for its time: uvloop's, of a time that has passed, does not know it.
        self._alarm_at = at
        self._alarm = None if at == inf else asyncio.get_running_loop().call_at(at, self._fail_overdue)

    def _fail_overdue(self) -> None:
        now = asyncio.get_running_loop().time()
        for call in self._unanswered:
            if call.deadline <= now:
                call.fail("no answer in time", sent=call.sent)
        self._set_alarm(min((call.deadline for call in self._unanswered if not call.answer.done()), default=inf))

    def _launch(self) -> None:
        self._scheduled = False
        while self._waiting and self._free:
            batch = self._next_batch()
            if batch:
                self._free -= 1
                flight = asyncio.get_running_loop().create_task(self._fly(batch))
                self._flights.add(flight)
                flight.add_done_callback(self._landed)

    def _next_batch(self) -> list[_Call]:
        now = asyncio.get_running_loop().time()
        batch: list[_Call] = []
        while self._waiting and len(batch) < self._limit:
            call = self._waiting.popleft()
            if call.deadline <= now:
                call.fail("its turn did not come in time", sent=False)
            elif not call.answer.done() or call.command.writes:  # a reader that went away needs no answer
                call.sent = True
                batch.append(call)
        return batch

    def _landed(self, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        self._free += 1
        self._launch()

    async def _fly(self, batch: Sequence[_Call]) -> None:
        try:
            # The latest deadline: a call that has little time left must not take its neighbours' time away.
            answers = await self._run([call.command for call in batch], max(call.deadline for call in batch))
            for call, answer in zip(batch, answers, strict=True):
                if not call.answer.done():
                    call.answer.set_result(answer)
        finally:
            for call in batch:
                call.fail("its round trip failed", sent=True)


class GroupCommits:
    """A coalescer for each server, so that one that is lost delays the calls that need it, and no others."""

    def __init__(self, run: Run, home: Callable[[str | None], str], in_flight: int = 1) -> None:
        self._run = run
        self._home = home
        self._in_flight = in_flight
        self._by_home: dict[str, GroupCommit] = {}

    async def submit(self, command: Command, deadline: float) -> CommandResult:
        """The command's answer. Raises as `GroupCommit.submit`."""
        home = self._home(command.key)
        if home not in self._by_home:
            self._by_home[home] = GroupCommit(self._run, self._in_flight)
        return await self._by_home[home].submit(command, deadline)

    async def drain(self) -> None:
        """Return when nothing is waiting or under way."""
        for coalescer in list(self._by_home.values()):
            await coalescer.drain()
