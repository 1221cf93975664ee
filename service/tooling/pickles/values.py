"""Inert values that stand in a pickle for what it would import, call or look up."""

from dataclasses import dataclass, field
from typing import Any


class PickleError(Exception):
    """Raised for a pickle that is damaged or takes too much; the message completes "found ..."."""


@dataclass(frozen=True, slots=True, eq=False)
class Global:
    """A class or function that a pickle names, as `module.name`. It is never imported."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A persistent id: a value that is stored outside of the pickle, such as the bytes of a tensor."""

    key: object


@dataclass(slots=True)
class Mentions:
    """The names that a pickle imports, and the values outside of it that it refers to."""

    globals: dict[str, None] = field(default_factory=dict)
    references: list[Reference] = field(default_factory=list)


@dataclass(slots=True, eq=False, repr=False)
class Instance:
    """An object that a pickle would make by a call, with the state that it would give to it. Nothing is called."""

    type: object
    arguments: tuple[Any, ...] = ()
    keywords: dict[Any, Any] = field(default_factory=dict)
    state: object = None
    items: list[Any] = field(default_factory=list)
    entries: dict[Any, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of its class, or of the function that would be called; empty if a value is called."""
        kind = self.type
        if isinstance(kind, Reference) and isinstance(kind.key, tuple) and kind.key[:1] == ("module",):
            kind = kind.key[1] if len(kind.key) > 1 else None  # as PyTorch wrote a class before 1.6, with its source
        return kind.name if isinstance(kind, Global) else ""

    @property
    def attributes(self) -> dict[Any, Any]:
        """The attributes that its state holds, those of slots included."""
        parts = self.state if isinstance(self.state, tuple) else (self.state,)
        merged: dict[Any, Any] = {}
        for part in parts:
            if isinstance(part, dict):
                merged |= part
        return merged
