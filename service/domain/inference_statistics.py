"""Statistics of the inferences of a model version, as values. Standard library only."""

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

#: Parts of the time of a request: until it started, reading its tensors, computing, and writing the answer.
Part: TypeAlias = Literal["queue", "compute_input", "compute_infer", "compute_output"]
PARTS: Final[tuple[Part, ...]] = ("queue", "compute_input", "compute_infer", "compute_output")


@dataclass(frozen=True, slots=True)
class InferenceTimes:
    """Times of one inference in seconds; `total` is at least the sum of the parts."""

    queue: float
    compute_input: float
    compute_infer: float
    compute_output: float
    total: float


@dataclass(slots=True)
class BatchStatistics:
    """Successful requests of one batch size: their number, and the seconds that they took, in all and by part."""

    count: int = 0
    seconds: float = 0.0
    parts: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))


@dataclass(slots=True)
class VersionStatistics:
    """Statistics of a version: successful requests by batch size, failed ones, and rows of batches.

    `last` is the time of the last inference in seconds since 1970, 0 before the first.
    """

    by_batch: dict[int, BatchStatistics] = field(default_factory=dict)
    failures: int = 0
    failure_seconds: float = 0.0
    rows: int = 0
    last: float = 0.0
