"""Execution of command batches in as few round trips as possible.

Each round sends one pipeline to every server concerned. A command is sent again where the topology says that another
attempt can succeed, where its script was missing, and once where its reply was lost: all commands are safe to send
twice, because a write compares tokens and accepts its own new token as success. Durability commands follow the writes
in the same pipeline, because they cover the writes of their own connection only.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redis.exceptions import NoScriptError

from service.store.driver.commands import Argument, Command, CommandResult, Reply
from service.store.driver.durability import DurabilityResult, Level
from service.store.driver.errors import ReplyLost
from service.store.driver.nodes import Node
from service.store.driver.pipeline import execute_pipeline
from service.store.driver.topology import Retry, Topology

# A round gets this part of the time left, so that another one can follow.
_ROUND_FRACTION = 0.75
# The last round ends before the caller's own deadline, which could not say what happened to the command.
_END_MARGIN_FRACTION = 0.05
# WAIT and WAITAOF must return before the deadline of their round. A server notices that their time is over when its
# timer runs, every tenth of a second (`hz 10`).
_WAIT_MARGIN_SECONDS = 0.25
# Pause between rounds while another server takes over, or while redirections form a circle.
_PAUSE_SECONDS = 0.05
_MAX_ROUNDS_WITHOUT_PAUSE = 4


class CommandExecutor:
    """Executes batches of commands at one durability level; `make_level` makes the level's state for each server."""

    def __init__(self, topology: Topology, make_level: Callable[[], Level]) -> None:
        self._topology = topology
        self._make_level = make_level
        self._levels: dict[Node, Level] = {}

    async def values(self, commands: Sequence[Command], deadline: float) -> list[Reply]:
        """Return one reply per command. Raises StoreUnavailable, StoreFull and StateCorrupted."""
        return [result.value() for result in await self.run(commands, deadline)]

    async def run(self, commands: Sequence[Command], deadline: float) -> list[CommandResult]:
        """Return one result per command by `deadline`, in seconds on the event loop's clock."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        end = deadline - (deadline - now) * _END_MARGIN_FRACTION
        node = self._common_node(commands)
        if node is None:
            return await self._run_rounds([_CommandAttempt(command) for command in commands], 0, end)
        # Nearly every batch ends here: one server, whose first replies are final.
        pipeline = [command.wire_arguments() for command in commands]
        replies, durability = await self._exchange(node, pipeline, _round_deadline(now, end))
        if not durability.retry and not any(isinstance(reply, Exception) for reply in replies):
            return [
                CommandResult(command, reply, durability.failure_reason)
                for command, reply in zip(commands, replies, strict=True)
            ]
        attempts = [_CommandAttempt(command) for command in commands]
        for attempt, reply in zip(attempts, replies, strict=True):
            attempt.receive(reply, durability, self._topology, node)
        return await self._run_rounds(attempts, 1, end)

    def _common_node(self, commands: Sequence[Command]) -> Node | None:
        """Return the server of all commands, or None if it is not known or there are several."""
        nodes = {self._topology.known_node(command.key) for command in commands}
        return nodes.pop() if len(nodes) == 1 else None

    async def _run_rounds(self, attempts: Sequence["_CommandAttempt"], rounds: int, end: float) -> list[CommandResult]:
        """Send commands, of which `rounds` rounds are over, until their results are final or the time is over."""
        loop = asyncio.get_running_loop()
        while True:
            pending = [attempt for attempt in attempts if attempt.retry is not Retry.NO]
            if pending and rounds:
                await self._pause(pending, rounds, end)
            if not pending or (rounds and loop.time() >= end):
                return [attempt.result() for attempt in attempts]
            await self._run_round(pending, _round_deadline(loop.time(), end))
            rounds += 1

    async def _run_round(self, attempts: Sequence["_CommandAttempt"], deadline: float) -> None:
        by_node: dict[Node, list[_CommandAttempt]] = {}
        for attempt in attempts:
            try:
                node = attempt.ask_node or await self._topology.node(attempt.command.key, deadline)
            except ReplyLost as lost:
                attempt.receive(lost, DurabilityResult(), self._topology, None)
            else:
                by_node.setdefault(node, []).append(attempt)
        pipelines = [self._send(node, group, deadline) for node, group in by_node.items()]
        if len(pipelines) == 1:
            await pipelines[0]
        else:
            await asyncio.gather(*pipelines)

    async def _send(self, node: Node, attempts: Sequence["_CommandAttempt"], deadline: float) -> None:
        """Send one round's commands of a server in one pipeline, and pass the replies on."""
        scripts = [attempt.command.script for attempt in attempts if attempt.load_script]
        sources = {script.source for script in scripts if script}
        pipeline: list[tuple[Argument, ...]] = [("SCRIPT", "LOAD", source) for source in sorted(sources)]
        reply_indices: list[int] = []
        for attempt in attempts:
            if attempt.ask_node:
                pipeline.append(("ASKING",))
            reply_indices.append(len(pipeline))
            pipeline.append(attempt.command.wire_arguments())
        replies, durability = await self._exchange(node, pipeline, deadline)
        for attempt, index in zip(attempts, reply_indices, strict=True):
            attempt.receive(replies[index], durability, self._topology, node)

    async def _exchange(
        self, node: Node, pipeline: list[tuple[Argument, ...]], deadline: float
    ) -> tuple[list[Reply], DurabilityResult]:
        """Send a pipeline and the level's commands behind it; return the replies and the durability of its writes."""
        level = self._levels.setdefault(node, self._make_level())
        waits = level.commands(_wait_milliseconds(deadline))
        size = len(pipeline)
        replies = await execute_pipeline(node, pipeline + waits, deadline)
        durability = level.evaluate(waits, replies[size:], self._topology.replica_count(node))
        return replies[:size], durability

    async def _pause(self, pending: Sequence["_CommandAttempt"], rounds: int, end: float) -> None:
        if any(attempt.retry is Retry.AFTER_REFRESH for attempt in pending):
            await asyncio.sleep(min(_PAUSE_SECONDS, max(0.0, end - asyncio.get_running_loop().time())))
            await self._topology.refresh(end)
        elif rounds >= _MAX_ROUNDS_WITHOUT_PAUSE:
            await asyncio.sleep(_PAUSE_SECONDS)


@dataclass(slots=True)
class _CommandAttempt:
    """State of one command across rounds. `retry` is NO once its result is final."""

    command: Command
    retry: Retry = Retry.NOW
    ask_node: Node | None = None
    load_script: bool = False
    _reply: Reply = None
    _failure_reason: str | None = None
    _lost: ReplyLost | None = None
    _confirming: bool = False

    def receive(self, reply: Reply, durability: DurabilityResult, topology: Topology, node: Node | None) -> None:
        """Record what `node` replied in one round, and decide whether another round is needed."""
        if self._confirming:
            # The same reply to the same command shows that this server has the write that the wait behind it covers.
            if reply == self._reply:
                self._failure_reason = durability.failure_reason
            self.retry = Retry.NO
        elif isinstance(reply, Exception):
            self._reply = reply
            self._fail(reply, topology, node)
        else:
            self._reply, self._failure_reason = reply, durability.failure_reason
            self._confirming = durability.retry
            self.retry = Retry.AFTER_REFRESH if durability.retry else Retry.NO

    def result(self) -> CommandResult:
        """Return the command's result as of the last round."""
        if self._lost and isinstance(self._reply, Exception):
            # An error reply says nothing of an earlier attempt, which may have been applied.
            return CommandResult(self.command, self._lost)
        return CommandResult(self.command, self._reply, self._failure_reason, repeated=self._lost is not None)

    def _fail(self, failure: Exception, topology: Topology, node: Node | None) -> None:
        if isinstance(failure, NoScriptError):
            self.retry = Retry.NO if self.load_script else Retry.NOW
            self.load_script = True
            return
        self.retry, self.ask_node = topology.retry(failure, node)
        if isinstance(failure, ReplyLost) and failure.sent:
            if self.retry is Retry.NO and self._lost is None:
                self.retry = Retry.NOW
            self._lost = self._lost or failure
            self.load_script = True


def _round_deadline(now: float, end: float) -> float:
    left = end - now
    return end if left < 4 * _PAUSE_SECONDS else now + left * _ROUND_FRACTION


def _wait_milliseconds(deadline: float) -> int:
    # WAIT takes 0 for "forever".
    return max(1, int((deadline - asyncio.get_running_loop().time() - _WAIT_MARGIN_SECONDS) * 1000))
