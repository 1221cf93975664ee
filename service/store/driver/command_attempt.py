"""What becomes of one command: sent, sent again where that is right, answered once.

A lost reply is asked for by sending the same command again, which all commands here allow: a write compares tokens, and
its own new token counts as success. Only a refusal of what may have been applied before says nothing.
"""

from dataclasses import dataclass

from redis.exceptions import NoScriptError

from service.store.driver.commands import Argument, Command, Reply
from service.store.driver.durability import DurabilityResult
from service.store.driver.errors import ReplyLost, translate
from service.store.driver.nodes import Node
from service.store.driver.topology import RETRY_NOW, Retry, Topology


@dataclass(frozen=True, slots=True)
class CommandResult:
    """A command's reply; why its durability was missed, or None; and whether a reply to it was lost before."""

    reply: Reply
    missed: str | None = None
    repeated: bool = False


def value_of(command: Command, answer: CommandResult) -> Reply:
    """The reply, where it is a value. Raises StoreUnavailable, StoreFull and StateCorrupted."""
    if isinstance(answer.reply, Exception):
        raise translate(answer.reply, writes=command.writes)
    return answer.reply


@dataclass(slots=True)
class CommandAttempt:
    """A command on its way; `again` tells how it goes on, None that its answer stands."""

    command: Command
    again: Retry | None = RETRY_NOW
    with_script: bool = False
    _reply: Reply = None
    _missed: str | None = None
    _lost: ReplyLost | None = None
    _looked_twice: bool = False

    @property
    def asking(self) -> Node | None:
        """The server to ask instead of the key's own."""
        return self.again.asking if self.again else None

    def words(self) -> list[tuple[Argument, ...]]:
        """What goes over the wire, the command itself last."""
        return [("ASKING",), self.command.words()] if self.asking else [self.command.words()]

    def take(self, reply: Reply, verdict: DurabilityResult, topology: Topology, node: Node | None) -> None:
        """Take what came from `node` in one round, and see whether another is due."""
        if self._looked_twice:
            self._confirm(reply, verdict)
        elif isinstance(reply, Exception):
            self._reply = reply
            self.again = self._after(reply, topology.again(reply, node))
        else:
            self._reply, self._missed = reply, verdict.missed
            self._looked_twice = verdict.ask_again
            self.again = Retry(later=True, asking=self.asking) if verdict.ask_again else None

    def answer(self) -> CommandResult:
        """What the caller gets."""
        if self._lost and isinstance(self._reply, Exception):
            return CommandResult(self._lost)
        return CommandResult(self._reply, self._missed, repeated=self._lost is not None)

    def _after(self, failure: Exception, again: Retry | None) -> Retry | None:
        if isinstance(failure, NoScriptError):
            known, self.with_script = self.with_script, True
            return None if known else Retry(asking=self.asking)
        if isinstance(failure, ReplyLost) and failure.sent:
            first, self._lost = self._lost is None, self._lost or failure
            self.with_script = True
            return again or (RETRY_NOW if first else None)
        return again

    def _confirm(self, reply: Reply, verdict: DurabilityResult) -> None:
        # The same reply to the same command: the server has it, and the wait behind it covers it.
        if reply == self._reply:
            self._missed = verdict.missed
        self.again = None
