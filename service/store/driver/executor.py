"""Many commands in as few round trips as can be: grouped by server, redirected, repeated where a reply was lost, with
scripts loaded where they are missing, and durability waited for on the connection of the write.
"""

import asyncio
from collections.abc import Callable, Sequence

from service.store.driver.command_attempt import CommandAttempt, CommandResult
from service.store.driver.commands import Argument, Command
from service.store.driver.durability import DurabilityResult, Level
from service.store.driver.errors import ReplyLost
from service.store.driver.nodes import Node
from service.store.driver.pipeline import execute_pipeline
from service.store.driver.topology import Topology

# What a round may take of the time left; the rest is for another.
_ROUND_FRACTION = 0.75
# The last one comes back before the caller's own deadline, which knows nothing of what happened.
_MARGIN = 0.05
# WAIT must come back before the deadline does.
_WAIT_MARGIN = 0.1
# Between rounds while another server takes over, or a redirection leads in a circle.
_PAUSE_SECONDS = 0.05
_ROUNDS_AT_ONCE = 4


class CommandExecutor:
    """Runs batches of commands that want the same durability, of which `make_level` makes one for each server."""

    def __init__(self, topology: Topology, make_level: Callable[[], Level]) -> None:
        self._topology = topology
        self._make_level = make_level
        self._levels: dict[Node, Level] = {}

    async def run(self, commands: Sequence[Command], deadline: float) -> list[CommandResult]:
        """One answer per command, by `deadline` (seconds on the event loop's clock)."""
        loop = asyncio.get_running_loop()
        end = deadline - (deadline - loop.time()) * _MARGIN
        errands = [CommandAttempt(command) for command in commands]
        under_way = errands
        rounds = 0
        while under_way and (not rounds or loop.time() < end):
            now = loop.time()
            await self._round(under_way, end if end - now < 4 * _PAUSE_SECONDS else now + (end - now) * _ROUND_FRACTION)
            rounds += 1
            under_way = [errand for errand in under_way if errand.again]
            if any(errand.again and errand.again.later for errand in under_way):
                await asyncio.sleep(min(_PAUSE_SECONDS, max(0.0, end - loop.time())))
                await self._topology.refresh(end)
            elif rounds >= _ROUNDS_AT_ONCE:
                await asyncio.sleep(_PAUSE_SECONDS)
        return [errand.answer() for errand in errands]

    async def _round(self, errands: Sequence[CommandAttempt], deadline: float) -> None:
        groups: dict[Node, list[CommandAttempt]] = {}
        for errand in errands:
            try:
                node = errand.asking or await self._topology.node(errand.command.key, deadline)
            except ReplyLost as lost:
                errand.take(lost, DurabilityResult(), self._topology, None)
            else:
                groups.setdefault(node, []).append(errand)
        visits = [self._visit(node, group, deadline) for node, group in groups.items()]
        if len(visits) == 1:
            await visits[0]
        else:
            await asyncio.gather(*visits)

    async def _visit(self, node: Node, errands: Sequence[CommandAttempt], deadline: float) -> None:
        level = self._levels.setdefault(node, self._make_level())
        scripts = {errand.command.script.source for errand in errands if errand.with_script and errand.command.script}
        words: list[tuple[Argument, ...]] = [("SCRIPT", "LOAD", source) for source in sorted(scripts)]
        places: list[int] = []
        for errand in errands:
            words += errand.words()
            places.append(len(words) - 1)
        waits = level.commands(_milliseconds_until(deadline))
        replies = await execute_pipeline(node, [*words, *waits], deadline)
        verdict = level.verdict(waits, replies[len(words) :], self._topology.census(node))
        for errand, place in zip(errands, places, strict=True):
            errand.take(replies[place], verdict, self._topology, node)


def _milliseconds_until(deadline: float) -> int:
    # WAIT takes 0 for "forever".
    return max(1, int((deadline - asyncio.get_running_loop().time() - _WAIT_MARGIN) * 1000))
