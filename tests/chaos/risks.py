"""When which losses were allowed: what the faults did to the store, to sessions' ends and to models."""

from dataclasses import dataclass, field

from service.types import Durability

#: An answer can reach its client so long after its commit; workers are not stopped while the store rolls back.
SLACK = 1.5


@dataclass(frozen=True, slots=True)
class Window:
    """What was acknowledged in this time may be lost, at these levels."""

    since: float
    until: float
    levels: frozenset[Durability]


@dataclass(slots=True)
class Risks:
    """All windows of a run."""

    rollbacks: list[Window] = field(default_factory=list)
    swaps: list[tuple[float, float]] = field(default_factory=list)

    def may_lose(self, level: Durability, at: float, seen: float) -> bool:
        """Whether what was acknowledged `at` may be found lost when one looks at `seen`."""
        return any(
            level in window.levels and window.since <= at <= window.until + SLACK and window.since <= seen
            for window in self.rollbacks
        )

    def shaken(self, level: Durability, since: float, until: float) -> bool:
        """Whether the store may have rolled back while something was under way."""
        return any(
            level in window.levels and window.since <= until and since <= window.until + SLACK
            for window in self.rollbacks
        )

    def swapped(self, created: float, seen: float) -> bool:
        """Whether the model was swapped between a session's creation and a look at it."""
        return any(created <= until and since <= seen for since, until in self.swaps)
