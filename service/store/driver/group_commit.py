"""Group commit: commands submitted in one tick of the event loop, or during a round trip, share the next round trip.

Every caller awaits a future of its own. Cancelling a caller ends its waiting and nothing else: a batch runs in a task
that no caller owns, and settles each future once. Commands for different servers never wait for each other. One timer
serves all deadlines, because hundreds of commands per second would each set and cancel one.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from math import inf

from service.domain.runtime.loop_stalls import STALLS
from service.store.driver.commands import Command, CommandResult
from service.store.driver.errors import ReplyLost, translate

Run = Callable[[Sequence[Command], float], Awaitable[list[CommandResult]]]


@dataclass(slots=True, eq=False)
class _Submission:
    """Commands that were submitted together, and the future of their results."""

    commands: Sequence[Command]
    deadline: float
    results: asyncio.Future[list[CommandResult]]
    sent: bool = False
    stalled: float = field(default_factory=lambda: STALLS.total)

    @property
    def end(self) -> float:
        """The deadline, later by the time that the event loop has not run since the submission."""
        return self.deadline + STALLS.total - self.stalled

    @property
    def writes(self) -> bool:
        return any(command.writes for command in self.commands)

    def fail(self, reason: str, *, sent: bool) -> None:
        if not self.results.done():
            self.results.set_exception(translate(ReplyLost(reason, sent=sent), writes=self.writes))


class GroupCommit:
    """Runs queued commands in batches; `max_in_flight` batches run at a time.

    A batch is full with `max_batch` commands; commands that were submitted together are never parted.
    """

    def __init__(self, run: Run, max_in_flight: int = 1, max_batch: int = 256) -> None:
        self._run = run
        self._free_slots = max_in_flight
        self._max_batch = max_batch
        self._waiting: deque[_Submission] = deque()
        self._unsettled: set[_Submission] = set()
        self._batches: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._timer: asyncio.Handle | None = None
        self._timer_at = inf

    async def submit(self, command: Command, deadline: float) -> CommandResult:
        """Return the command's result. Raises StoreUnavailable if there is none by `deadline`."""
        return (await self.submit_all([command], deadline))[0]

    async def submit_all(self, commands: Sequence[Command], deadline: float) -> list[CommandResult]:
        """Return the results of commands that share a round trip. Raises as `submit`."""
        loop = asyncio.get_running_loop()
        submission = _Submission(commands, deadline, loop.create_future())
        self._waiting.append(submission)
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._start_batches)
        self._unsettled.add(submission)
        if deadline < self._timer_at:
            self._set_timer(deadline)
        try:
            return await submission.results
        finally:
            self._unsettled.discard(submission)

    async def drain(self) -> None:
        """Return when no command is queued or running."""
        while self._batches or self._waiting:
            await asyncio.wait(self._batches) if self._batches else await asyncio.sleep(0)

    def _set_timer(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # The time is kept beside the handle: a handle of uvloop has none once that time has passed.
        self._timer_at = deadline
        self._timer = None if deadline == inf else asyncio.get_running_loop().call_at(deadline, self._fail_overdue)

    def _fail_overdue(self) -> None:
        now = asyncio.get_running_loop().time()
        for submission in self._unsettled:
            if submission.end <= now:
                submission.fail("no answer in time", sent=submission.sent)
        unsettled = (submission for submission in self._unsettled if not submission.results.done())
        self._set_timer(min((submission.end for submission in unsettled), default=inf))

    def _start_batches(self) -> None:
        self._scheduled = False
        while self._waiting and self._free_slots:
            batch = self._next_batch()
            if batch:
                self._free_slots -= 1
                batch_task = asyncio.get_running_loop().create_task(self._run_batch(batch))
                self._batches.add(batch_task)
                batch_task.add_done_callback(self._on_batch_done)

    def _next_batch(self) -> list[_Submission]:
        now = asyncio.get_running_loop().time()
        batch: list[_Submission] = []
        commands = 0
        while self._waiting and commands < self._max_batch:
            submission = self._waiting.popleft()
            if submission.end <= now:
                submission.fail("its turn did not come in time", sent=False)
            elif not submission.results.done() or submission.writes:  # a cancelled read needs no reply
                submission.sent = True
                batch.append(submission)
                commands += len(submission.commands)
        return batch

    def _on_batch_done(self, batch_task: asyncio.Task[None]) -> None:
        self._batches.discard(batch_task)
        self._free_slots += 1
        self._start_batches()

    async def _run_batch(self, batch: Sequence[_Submission]) -> None:
        try:
            # The latest deadline: a command with little time left must not shorten the time of the others.
            deadline = max(submission.end for submission in batch)
            results = await self._run([command for submission in batch for command in submission.commands], deadline)
            start = 0
            for submission in batch:
                end = start + len(submission.commands)
                if not submission.results.done():
                    submission.results.set_result(results[start:end])
                start = end
        finally:
            for submission in batch:
                submission.fail("its round trip failed", sent=True)


class ShardedGroupCommit:
    """One GroupCommit per shard, so that a lost server delays only the commands for it."""

    def __init__(self, run: Run, shard_of: Callable[[str | None], str], max_in_flight: int = 1) -> None:
        self._run = run
        self._shard_of = shard_of
        self._max_in_flight = max_in_flight
        self._by_shard: dict[str, GroupCommit] = {}

    def shard_of(self, key: str) -> str:
        """Return the name of the shard of a key."""
        return self._shard_of(key)

    async def submit(self, command: Command, deadline: float) -> CommandResult:
        """Return the command's result. Raises StoreUnavailable if there is none by `deadline`."""
        return (await self.submit_all([command], deadline))[0]

    async def submit_all(self, commands: Sequence[Command], deadline: float) -> list[CommandResult]:
        """Return the results of commands for the shard of the first one. Raises as `submit`."""
        shard = self._shard_of(commands[0].key)
        if shard not in self._by_shard:
            self._by_shard[shard] = GroupCommit(self._run, self._max_in_flight)
        return await self._by_shard[shard].submit_all(commands, deadline)

    async def drain(self) -> None:
        """Return when no command is queued or running."""
        for group_commit in list(self._by_shard.values()):
            await group_commit.drain()
