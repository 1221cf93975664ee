"""What the victim saw."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sample:
    """One attempt at a step: when it was sent, when it ended, whether it was answered by 200, and by which stream."""

    sent: float
    ended: float
    answered: bool
    stream: int = 0

    @property
    def seconds(self) -> float:
        return self.ended - self.sent


@dataclass(slots=True)
class Evidence:
    """Everything that the victim saw: attempts, labels of refusals, broken promises, its sessions."""

    samples: list[Sample] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    verified: int = 0
    #: The ids of all sessions that it has created, in their order.
    sessions: list[str] = field(default_factory=list)
