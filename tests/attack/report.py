"""The table of a run, and below it what explains the rows that fail."""

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.attack.judge import Row
from tests.attack.measure import MIB

_HEAD = (
    "| attack | p50 ms | ratio | p99 ms | worst ms | goodput | liveness ms | memory MB | store MB | files | answers |"
    " correct | timing |"
)
_RULE = "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|---|---|"
_SHOWN_LABELS = 6
_SHOWN_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Report:
    """All rows of a run."""

    rows: Sequence[Row]
    seconds: float
    seed: int
    commit: str
    verified: int

    @property
    def failures(self) -> int:
        return sum(bool(row.failures()) for row in self.rows)

    @property
    def missed(self) -> int:
        return sum(bool(row.missed()) for row in self.rows)

    def lines(self) -> Iterator[str]:
        """Return the report as lines of Markdown."""
        yield f"Commit {self.commit}, seed {self.seed}, {self.seconds:g} s for each attack, {machine()}."
        yield f"The victim's {self.verified:,} answered steps were verified. Figures are the victim's under attack;"
        yield "`ratio` is its p50 and `goodput` its steps per second in relation to the seconds before the attack."
        yield "Memory is the growth of the largest worker, with its peak in brackets."
        yield ""
        yield _HEAD
        yield _RULE
        yield from (line_of(row) for row in self.rows)
        yield ""
        yield from self._explanations()
        yield f"rows with broken bounds of correctness: {self.failures}, of timing: {self.missed}, of {len(self.rows)}"

    def _explanations(self) -> Iterator[str]:
        for row in self.rows:
            found = [
                *row.violations[:_SHOWN_EXAMPLES],
                *list(row.tally.examples.values())[:_SHOWN_EXAMPLES],
                *row.complaints[:_SHOWN_EXAMPLES],
            ]
            yield from (f"- {row.name}: `{line[:700].replace('`', ' ')}`" for line in found)
            if row.refusals:
                yield f"- {row.name}: the victim was told {counts(dict(row.refusals))}"
        yield ""


def line_of(row: Row) -> str:
    """Return one row of the table."""
    calm, attacked = row.calm, row.attacked
    liveness = max(row.during.liveness, default=0.0)
    cells = [
        row.name,
        f"{attacked.median * 1e3:.1f}",
        f"{attacked.median / calm.median:.1f}",
        f"{attacked.p99 * 1e3:.0f}",
        f"{attacked.worst * 1e3:.0f}",
        f"{attacked.goodput / max(calm.goodput, 1e-9):.0%}",
        f"{liveness * 1e3:.0f}",
        f"+{row.memory // MIB} ({row.during.memory // MIB})",
        f"+{max(0, row.during.store_memory - row.before.store_memory) // MIB}",
        f"+{max(0, row.during.files - row.before.files)}",
        counts(dict(row.tally.labels)) or "none",
        "; ".join(row.failures()) or "yes",
        "; ".join(row.missed()) or "reached",
    ]
    return f"| {' | '.join(cells)} |"


def machine() -> str:
    """Return the machine in words."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    names = {line.split(":")[1].strip() for line in lines if line.startswith("model name")}
    return f"{', '.join(sorted(names)) or platform.machine()}, Python {platform.python_version()}"


def counts(labels: dict[str, int]) -> str:
    """Return the most frequent labels with their numbers."""
    shown = sorted(labels.items(), key=lambda item: -item[1])
    return ", ".join(f"{label} x {count:,}" for label, count in shown[:_SHOWN_LABELS])
