"""The figures that each family of attacks is held to."""

from dataclasses import dataclass

from tests.attack.measure import MIB


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of one family; None leaves a figure unbounded.

    `median_ratio` is the victim's median in relation to the undisturbed one, `worst` is in seconds, `goodput` is the
    fraction of the undisturbed steps per second, `memory` the growth of a worker in bytes, `restarts` the workers that
    may be replaced.
    """

    memory: int
    median_ratio: float | None = 4.0
    worst: float | None = 0.25
    goodput: float | None = 0.85 / 2
    restarts: int = 0


#: A tenant of two has a right to half of the machine, and the victim gets at least 85 % of that.
BOUNDS: dict[str, Bounds] = {
    "load": Bounds(memory=512 * MIB),
    "sockets": Bounds(memory=100 * MIB, median_ratio=1.5, worst=None),
    "store": Bounds(memory=256 * MIB),
    "malformed": Bounds(memory=100 * MIB),
    "folders": Bounds(memory=256 * MIB),
    "files": Bounds(memory=100 * MIB, median_ratio=None, worst=None, goodput=None),
    "outage": Bounds(memory=256 * MIB, median_ratio=None, worst=None, goodput=None, restarts=1),
    "hang": Bounds(memory=256 * MIB, median_ratio=None, worst=None, goodput=None, restarts=1),
}
