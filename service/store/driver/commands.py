"""Commands as they are queued, the Lua scripts that some of them call, and their results."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Self, TypeAlias

from service.store.driver.errors import translate

Argument: TypeAlias = "bytes | str | int"
Reply: TypeAlias = "bytes | str | int | Sequence[Reply] | Exception | None"


@dataclass(frozen=True, slots=True)
class Script:
    """Lua script with its SHA-1 digest, by which EVALSHA calls it."""

    source: str
    digest: str

    @classmethod
    def read(cls, name: str, *libraries: str) -> Self:
        """Read a script of `service/store/scripts` by its name without the suffix, behind the functions of others."""
        names = (*libraries, name)
        source = "\n".join((files("service.store") / "scripts" / f"{part}.lua").read_text() for part in names)
        return cls(source, sha1(source.encode(), usedforsecurity=False).hexdigest())


@dataclass(frozen=True, slots=True)
class Command:
    """Command, or call of a script, whose `arguments` then follow the digest. It must be safe to send twice."""

    arguments: tuple[Argument, ...]
    writes: bool
    script: Script | None = None

    @property
    def key(self) -> str | None:
        """The first key. It selects the server; all keys of a command lie in one slot."""
        # The argument before it is a command's name, or the number of a script's keys.
        key = self.arguments[1] if len(self.arguments) > 1 else None
        return key if isinstance(key, str) else None

    def wire_arguments(self) -> tuple[Argument, ...]:
        """Return all arguments that are sent, the command's name first."""
        return ("EVALSHA", self.script.digest, *self.arguments) if self.script else self.arguments


@dataclass(frozen=True, slots=True)
class CommandResult:
    """Final reply to a command.

    `failure_reason` says why the durability level was not reached; it is None if it was. `repeated` is true if the
    command was sent again because an earlier reply was lost.
    """

    command: Command
    reply: Reply
    failure_reason: str | None = None
    repeated: bool = False

    def value(self) -> Reply:
        """Return the reply. Raises StoreUnavailable, StoreFull and StateCorrupted for an error reply."""
        if isinstance(self.reply, Exception):
            raise translate(self.reply, writes=self.command.writes)
        return self.reply


def read_command(*arguments: Argument) -> Command:
    """Return a command that changes nothing."""
    return Command(arguments, writes=False)


def write_command(*arguments: Argument) -> Command:
    """Return a plain command that writes."""
    return Command(arguments, writes=True)


def script_command(script: Script, keys: Sequence[str], *arguments: Argument) -> Command:
    """Return a call of `script`. Its keys must lie in one slot."""
    return Command((len(keys), *keys, *arguments), writes=True, script=script)
