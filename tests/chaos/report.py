"""What came of a run, for people: operations and faults by kind, and last the number of violations."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tests.chaos.schedule import CLIENT_KINDS, KINDS

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Report:
    """One run's figures; a complaint is an error in the service's log, which no fault explains."""

    seed: int
    seconds: float
    operations: Counter[str]
    faults: Counter[str]
    verified: Counter[str]
    broken_promises: list[str]
    complaints: list[str]

    @property
    def violations(self) -> list[str]:
        return [*self.broken_promises, *self.complaints]

    def lines(self) -> Iterator[str]:
        """The report, line by line."""
        yield f"seed {self.seed}, {self.seconds:.0f} s, {self.verified['steps'] / self.seconds:.0f} steps/s"
        yield from _table("operations", self.operations, sorted(self.operations))
        yield from _table("faults", self.faults, [*KINDS, *CLIENT_KINDS])
        yield from _table("verified", self.verified, sorted(self.verified))
        for violation in self.violations[:_SHOWN]:
            yield f"violation: {violation}"
        yield f"violations: {len(self.violations)}"


def _table(title: str, counts: Counter[str], names: list[str]) -> Iterator[str]:
    yield f"{title}:"
    yield from (f"{counts[name]:10d}  {name}" for name in names)
