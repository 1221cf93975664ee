"""Compares what was seen under one attack with the bounds of its family."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.attack.attackers.base import Tally
from tests.attack.bounds import BOUNDS
from tests.attack.evidence import Sample
from tests.attack.measure import MIB, Figures


@dataclass(frozen=True, slots=True)
class Phase:
    """The victim's attempts that overlap an interval of so many seconds."""

    seconds: float
    samples: Sequence[Sample]

    @property
    def latencies(self) -> list[float]:
        """The latencies in ascending order; the interval itself where nothing ended in it."""
        return sorted(sample.seconds for sample in self.samples) or [self.seconds]

    @property
    def median(self) -> float:
        return statistics.median(self.latencies)

    @property
    def p99(self) -> float:
        return self.latencies[int(len(self.latencies) * 0.99)]

    @property
    def worst(self) -> float:
        return self.latencies[-1]

    @property
    def goodput(self) -> float:
        """Answered steps per second."""
        return sum(sample.answered for sample in self.samples) / self.seconds


@dataclass(slots=True)
class Row:
    """One attack: what the victim, the attacker and /proc said about it."""

    name: str
    family: str
    calm: Phase
    attacked: Phase
    before: Figures
    during: Figures
    tally: Tally = field(default_factory=Tally)
    refusals: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    recovery: float | None = 0.0

    @property
    def memory(self) -> int:
        """Growth of the largest worker in bytes."""
        return max(0, self.during.memory - self.before.memory)

    @property
    def restarts(self) -> int:
        return len(self.during.pids - self.before.pids)

    def failures(self) -> list[str]:
        """Return the bounds of correctness that are broken; they are never due to a slow machine."""
        bounds = BOUNDS[self.family]
        errors = sum(count for label, count in self.tally.labels.items() if label.startswith("500"))
        checks = {
            f"{len(self.violations)} broken promises": bool(self.violations),
            f"{errors} answers of 500": errors > 0,
            f"{self.restarts} workers replaced": self.restarts > bounds.restarts,
            f"memory +{self.memory // MIB} MB": self.memory > bounds.memory,
            "killed by the suite for its memory": self.during.killed,
            f"{len(self.complaints)} tracebacks": bool(self.complaints),
            "no recovery": self.recovery is None,
        }
        own = [f"{what} ({count} times)" for what, count in self.tally.failures.items()]
        return [*(what for what, broken in checks.items() if broken), *own]

    def missed(self) -> list[str]:
        """Return the bounds of timing that are not reached."""
        bounds = BOUNDS[self.family]
        ratio, goodput = self.attacked.median / self.calm.median, self.attacked.goodput / max(self.calm.goodput, 1e-9)
        checks = {
            f"p50 {ratio:.1f} x": bounds.median_ratio is not None and ratio > bounds.median_ratio,
            f"worst {self.attacked.worst * 1e3:.0f} ms": bounds.worst is not None
            and self.attacked.worst > bounds.worst,
            f"goodput {goodput:.0%}": bounds.goodput is not None and goodput < bounds.goodput,
            f"liveness failed {self.during.liveness_failures} times": self.family not in {"hang", "outage"}
            and self.during.liveness_failures > 0,
        }
        return [what for what, broken in checks.items() if broken]
