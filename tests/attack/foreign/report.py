"""What a run of the hostile tenant came to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.attack.foreign.hostile import Findings
from tests.attack.judge import Phase
from tests.attack.report import counts, machine

_SHOWN = 10
_LABELS = 12


@dataclass(frozen=True, slots=True)
class Seen:
    """What a tenant saw: verified steps, and its attempts at steps before the hostile tenant came, and beside it."""

    name: str
    verified: int
    calm: Phase
    beside: Phase

    def line(self) -> str:
        cells = [f"{self.verified:,}"]
        for phase in (self.calm, self.beside):
            cells += [f"{seconds * 1e3:.1f}" for seconds in (phase.median, phase.p99, phase.worst)]
            cells.append(f"{phase.goodput:.1f}")
        return f"| {' | '.join([self.name, *cells])} |"


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was counted."""

    seed: int
    proxy: bool
    seconds: float
    findings: Findings
    effects: Sequence[str]
    wrong: Sequence[str]
    complaints: Sequence[str]
    seen: Sequence[Seen]

    @property
    def problems(self) -> int:
        found = self.findings
        parts = (found.reads, found.differences, found.failures, self.effects, self.wrong, self.complaints)
        return sum(len(part) for part in parts)

    def lines(self) -> Iterator[str]:
        """Return the report as lines of Markdown."""
        found, where = self.findings, "two replicas behind HAProxy" if self.proxy else "one service"
        count = found.attempts.total()
        yield f"{count:,} attempts of a hostile tenant in {self.seconds:.0f} s, seed {self.seed}, at {where}."
        yield f"{machine()}."
        yield ""
        yield f"Attempts: {', '.join(f'{kind} x {count:,}' for kind, count in sorted(found.attempts.items()))}."
        yield f"Answers: {counts(dict(found.answers))}."
        yield ""
        yield "| tenant | verified steps | calm: p50 ms | p99 | worst | steps/s | beside: p50 | p99 | worst | steps/s |"
        yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
        yield from (seen.line() for seen in self.seen)
        yield ""
        yield from self._times()
        for name, lines in self._parts():
            yield f"{name}: {len(lines)}"
            yield from (f"- `{line.replace('`', ' ')}`" for line in lines[:_SHOWN])

    def _parts(self) -> list[tuple[str, Sequence[str]]]:
        return [
            ("foreign reads", self.findings.reads),
            ("foreign effects", self.effects),
            ("distinguishable answers", self.findings.differences),
            ("wrong steps of the tenants", self.wrong),
            ("other failures", self.findings.failures),
            ("errors in the log", self.complaints),
        ]

    def _times(self) -> Iterator[str]:
        found = self.findings
        if found.times:
            foreign, absent = (seconds * 1e3 for seconds in found.medians())
            pairs, later = len(found.times), found.slower()
            yield f"Answers about sessions of others took {foreign:.2f} ms, about none {absent:.2f} ms in the median;"
            yield f"the former were later in {later:.1%} of {pairs:,} pairs, by chance in 50 % +- {pairs**-0.5:.1%}."
            yield ""
