"""When which losses were allowed: what the faults did to the store, to sessions' ends and to models."""

from dataclasses import dataclass, field

from service.domain.sessions import Durability


@dataclass(frozen=True, slots=True)
class Window:
    """What was committed in this time may be lost, at these levels."""

    since: float
    until: float
    levels: frozenset[Durability]


@dataclass(slots=True)
class Risks:
    """All windows of a run."""

    rollbacks: list[Window] = field(default_factory=list)
    swaps: list[tuple[float, float]] = field(default_factory=list)

    def may_lose(self, level: Durability, sent: float, answered: float) -> bool:
        """Whether what was committed somewhere between these times may be lost."""
        return any(
            level in window.levels and window.since <= answered and sent <= window.until for window in self.rollbacks
        )

    def swapped(self, created: float, seen: float) -> bool:
        """Whether the model was swapped between a session's creation and a look at it."""
        return any(created <= until and since <= seen for since, until in self.swaps)
