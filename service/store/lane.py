"""One round trip for many commands: scripts loaded where they are missing, lost replies asked for once more, durability
waited for.

A lost reply is asked for by sending the same command again, which all commands here allow: a write compares tokens, and
its own new token counts as success. Only a refusal of what was sent twice says nothing about the first time.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from redis.exceptions import NoScriptError

from service.store.commands import Argument, Command, Reply
from service.store.durability import Level, Verdict
from service.store.errors import Lost
from service.store.wire import Wire

# What the first attempt may take of the time; the rest is for the second.
_FIRST_SHARE = 0.75
# WAIT must come back before the deadline does.
_WAIT_MARGIN = 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """A command's reply; why its durability was missed, or None; and whether it was sent twice."""

    reply: Reply
    missed: str | None = None
    repeated: bool = False


class Lane:
    """Runs batches of commands that want the same durability; `filler` is a write to wait for when there is none."""

    def __init__(self, wire: Wire, level: Level, filler: tuple[Argument, ...]) -> None:
        self._wire = wire
        self._level = level
        self._filler = filler

    async def run(self, commands: Sequence[Command], deadline: float) -> list[Answer]:
        """One answer per command, by `deadline` (seconds on the event loop's clock)."""
        now = asyncio.get_running_loop().time()
        answers = await self._attempt(commands, now + (deadline - now) * _FIRST_SHARE)
        again = [place for place, answer in enumerate(answers) if _worth_repeating(answer.reply)]
        if again:
            repeated = await self._attempt([commands[place] for place in again], deadline, _missing(commands, answers))
            for place, answer in zip(again, repeated, strict=True):
                answers[place] = _merged(answers[place], answer)
        return answers

    async def _attempt(self, commands: Sequence[Command], deadline: float, load: Sequence[str] = ()) -> list[Answer]:
        loads: list[tuple[Argument, ...]] = [("SCRIPT", "LOAD", source) for source in load]
        waits = self._level.commands(_milliseconds_until(deadline))
        replies = await self._wire.exchange([*loads, *(command.words() for command in commands), *waits], deadline)
        end = len(loads) + len(commands)
        verdict = self._level.verdict(waits, replies[end:])
        if verdict.ask_again:
            verdict = await self._ask_again(deadline)
        return [Answer(reply, verdict.missed) for reply in replies[len(loads) : end]]

    async def _ask_again(self, deadline: float) -> Verdict:
        # Another connection may serve this: its own write comes after the ones in question, and confirms them with it.
        waits = self._level.commands(_milliseconds_until(deadline))
        replies = await self._wire.exchange([self._filler, *waits], deadline)
        return self._level.verdict(waits, replies[1:])


def _worth_repeating(reply: Reply) -> bool:
    return isinstance(reply, NoScriptError) or (isinstance(reply, Lost) and reply.sent)


def _missing(commands: Sequence[Command], answers: Sequence[Answer]) -> list[str]:
    pairs = zip(commands, answers, strict=True)
    return sorted(
        {command.script.source for command, answer in pairs if command.script and _worth_repeating(answer.reply)}
    )


def _merged(first: Answer, second: Answer) -> Answer:
    if not isinstance(first.reply, Lost):
        return second
    if isinstance(second.reply, Exception):
        return first
    return Answer(second.reply, second.missed, repeated=True)


def _milliseconds_until(deadline: float) -> int:
    # WAIT takes 0 for "forever".
    return max(1, int((deadline - asyncio.get_running_loop().time() - _WAIT_MARGIN) * 1000))
