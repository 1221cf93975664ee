"""What came of a run, for people: operations and faults by kind, what was verified, and last the violations."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tests.chaos.schedule import CLIENT_KINDS, KINDS

_SHOWN = 10
_TITLE = "KNOWN LIMIT"


@dataclass(frozen=True, slots=True)
class Report:
    """One run's figures; a complaint is an error in the service's log, which no fault explains."""

    seed: int
    minutes: float
    seconds: float
    workers: int
    clients: int
    broken: str
    proxy: bool
    operations: Counter[str]
    faults: Counter[str]
    verified: Counter[str]
    hostile: Counter[str]
    broken_promises: list[str]
    complaints: list[str]

    @property
    def violations(self) -> list[str]:
        errors = self.hostile["answers of 500"]
        told = [f"the hostile tenant got {errors} answers of 500"] if errors else []
        return [*self.broken_promises, *self.complaints, *told]

    @property
    def rate(self) -> float:
        """Verified steps in a second."""
        return self.verified["steps"] / self.seconds

    @property
    def limit(self) -> int:
        """How many answers the known limit of docs/chaos.md explains."""
        return sum(count for name, count in self.verified.items() if name.startswith(_TITLE))

    def lines(self) -> Iterator[str]:
        """The report, line by line."""
        where = ", behind the proxy" if self.proxy else ""
        yield f"seed {self.seed}, {self.seconds:.0f} s, {self.rate:.0f} steps/s{where}"
        for title, rows in self._tables():
            yield f"{title}:"
            yield from (f"{count:10,d}  {name}" for name, count in rows)
        for violation in self.violations[:_SHOWN]:
            yield f"violation: {violation}"
        yield f"{_TITLE}: {self.limit}"
        yield f"violations: {len(self.violations)}"

    def markdown(self) -> str:
        """The report as a page; it says nothing of the machine."""
        build = (f" BROKEN={self.broken}" if self.broken else "") + (" HOSTILE=1" if self.hostile else "")
        build += " PROXY=1" if self.proxy else ""
        lines = [
            "# A run of the fault suite",
            "",
            f"`make chaos SEED={self.seed} MINUTES={self.minutes:g}{build}` with {self.workers} workers:",
            f"{self.verified['steps']:,} steps verified in {self.seconds:,.0f} seconds, {self.rate:.0f} a second.",
            "What the faults and the promises are: [chaos.md](chaos.md).",
            "",
            f"**violations: {len(self.violations)}**, {_TITLE.lower()}: {self.limit}",
        ]
        for title, rows in self._tables():
            lines += ["", f"| {title} | |", "|---|---:|", *(f"| {name} | {count:,} |" for name, count in rows)]
        lines += ["", *(f"    {line}" for violation in self.violations for line in violation.splitlines())]
        return "\n".join(lines).rstrip() + "\n"

    def _tables(self) -> Iterator[tuple[str, list[tuple[str, int]]]]:
        yield "operations", sorted(self.operations.items())
        yield "faults", [(name, self.faults[name]) for name in (*KINDS, *CLIENT_KINDS)]
        if self.hostile:
            yield "attacks of the hostile tenant", sorted(self.hostile.items())
        yield "verified", sorted(self.verified.items())
