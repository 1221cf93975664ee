"""A client as its acts see it."""

import random
from typing import Protocol

from tests.chaos.driver import Driver, Shared
from tests.chaos.roster import Role
from tests.chaos.stream import Stream


class Acting(Protocol):
    """What acts need of a client: its luck, its way of sending, and its counts."""

    number: int
    role: Role
    driver: Driver
    shared: Shared
    choose: random.Random
    streams: list[Stream | None]

    def serial(self) -> int:
        """A number that grows."""

    def key(self) -> str:
        """A key that was never used."""
