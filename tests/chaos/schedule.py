"""The plan of a run, from its seed alone: which fault when, for how long, and where it strikes.

Faults come in rounds, each of which has every kind once, in an order of its own.
"""

import random
from dataclasses import dataclass

#: What the conductor does to workers, store, network, clocks and models; the package faults has a function for each.
KINDS = (
    "worker killed after the forward pass",
    "worker killed after the commit",
    "worker killed at any moment",
    "worker stopped after the forward pass",
    "worker stopped after the commit",
    "worker stopped at any moment",
    "store killed",
    "store rolled back",
    "failover",
    "store connection cut in a command",
    "store connection cut in a reply",
    "store connections delayed",
    "store command late",
    "store full",
    "clock jump",
    "model version swapped",
)
#: What the clients do to their own requests; acts.py does it, by seeds of its own.
CLIENT_KINDS = (
    "expiry during a pause",
    "request duplicated",
    "requests reordered",
    "request late",
    "request abandoned",
)

_SHORTEST_ROUND, _LONGEST_ROUND = 45.0, 90.0
_ROUNDS_IN_A_LONG_RUN = 20
#: The end of a run is quiet, so that everything can heal and be looked at.
QUIET_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: seconds after the start, how long it lasts, and a number in [0, 1) for what is to be chosen."""

    at: float
    kind: str
    seconds: float
    pick: float


def plan(seed: int, seconds: float, kinds: tuple[str, ...] = KINDS) -> list[Fault]:
    """All faults of a run of so many seconds, in order of time."""
    choose = random.Random(f"faults {seed}")
    busy = max(1.0, seconds - QUIET_SECONDS)
    length = min(_LONGEST_ROUND, max(_SHORTEST_ROUND, busy / _ROUNDS_IN_A_LONG_RUN), busy)
    rounds = max(1, round(busy / length))
    length = busy / rounds
    faults = []
    for number in range(rounds):
        slot = length / len(kinds)
        for place, kind in enumerate(choose.sample(kinds, len(kinds))):
            at = number * length + (place + choose.uniform(0.0, 0.8)) * slot
            faults.append(Fault(at, kind, choose.uniform(0.2, 2.5), choose.random()))
    return faults
