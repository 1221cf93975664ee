"""Commands as they are queued, and the scripts among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Self, TypeAlias

Argument: TypeAlias = "bytes | str | int"
Reply: TypeAlias = "bytes | str | int | Sequence[Reply] | Exception | None"


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the digest that the server knows it by."""

    source: str
    digest: str

    @classmethod
    def read(cls, name: str) -> Self:
        """The script of that name beside this module."""
        source = (files("service.store") / "scripts" / f"{name}.lua").read_text()
        return cls(source, sha1(source.encode(), usedforsecurity=False).hexdigest())


@dataclass(frozen=True, slots=True)
class Command:
    """One command; of a script, what follows the digest. It must do no harm when it is sent twice."""

    arguments: tuple[Argument, ...]
    writes: bool
    script: Script | None = None

    @property
    def key(self) -> str | None:
        """The key that decides which server it goes to: the first one, and all lie in its slot."""
        # Before a script's keys stands their number, before another command's key its name.
        key = self.arguments[1] if len(self.arguments) > 1 else None
        return key if isinstance(key, str) else None

    def words(self) -> tuple[Argument, ...]:
        """All that goes over the wire."""
        return ("EVALSHA", self.script.digest, *self.arguments) if self.script else self.arguments


def read_command(*arguments: Argument) -> Command:
    """A command that changes nothing."""
    return Command(arguments, writes=False)


def write_command(*arguments: Argument) -> Command:
    """A plain command that changes something."""
    return Command(arguments, writes=True)


def script_command(script: Script, keys: Sequence[str], *arguments: Argument) -> Command:
    """A call of `script`, whose keys must lie in one slot."""
    return Command((len(keys), *keys, *arguments), writes=True, script=script)
