"""Size of a deployment for a number of sessions and a rate of steps, from measured costs."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from service.deployment.measurement import Measurement
from service.store.embedded.memory import STORE_FRACTION

#: Part of a processor that a worker should use on average: what is left answers peaks without long queues.
WORKER_LOAD = 0.6
#: Part of a processor that a server of the store should use on average. It runs commands on one thread.
STORE_LOAD = 0.5
#: Part of `maxmemory` that live sessions should take. Above three quarters tombstones are kept for a minute only.
MEMORY_LOAD = 0.75
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Capacity:
    """Deployment for `sessions` live sessions and `steps_per_second`; memory in bytes.

    `masters` servers of the store share the sessions; each has `maxmemory` and needs a machine with `machine_memory`,
    since twice the data must fit while a server rewrites its append-only file. One master is a single server, more are
    a cluster.
    """

    model: str
    sessions: int
    steps_per_second: float
    measured: Measurement
    workers: int
    masters: int
    maxmemory: int
    machine_memory: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    def render(self) -> str:
        """Return the report for people."""
        cost = self.measured
        servers = "1 server" if self.masters == 1 else f"a cluster of {self.masters} masters"
        log_rate = cost.log_bytes_per_step * self.steps_per_second / 2**20
        return "\n".join(
            [
                f"{self.model}, measured on this machine over {cost.steps:,} steps of one word or row each:",
                f"  {cost.bytes_per_session:,.0f} bytes of the store for a session, its answer and index included",
                f"  {cost.worker_seconds_per_step * 1e6:,.0f} us of a worker's processor for a step",
                f"  {cost.store_seconds_per_step * 1e6:,.0f} us of the store's processor for a step",
                f"  {cost.log_bytes_per_step:,.0f} bytes of its append-only file for a step",
                f"for {self.sessions:,} live sessions and {self.steps_per_second:,.0f} steps/s:",
                f"  {self.workers} workers, one processor each, {WORKER_LOAD:.0%} busy",
                f"  store: {servers}; maxmemory {self.maxmemory / GIB:,.2f} GiB, memory of the machine "
                f"{self.machine_memory / GIB:,.2f} GiB" + (", of each" if self.masters > 1 else ""),
                f"  append-only file: {log_rate:,.1f} MiB/s in all",
            ]
        )


def plan(model: str, measured: Measurement, sessions: int, steps_per_second: float, machine_memory: int) -> Capacity:
    """Return the deployment of `model`, whose servers of the store have at most `machine_memory` bytes each."""
    data = sessions * measured.bytes_per_session / MEMORY_LOAD
    by_memory = math.ceil(data / (STORE_FRACTION * machine_memory))
    by_load = math.ceil(steps_per_second * measured.store_seconds_per_step / STORE_LOAD)
    masters = max(1, by_memory, by_load)
    if masters > 1:
        masters = max(3, masters)  # a cluster needs three to elect a new master
    maxmemory = math.ceil(data / masters)
    return Capacity(
        model=model,
        sessions=sessions,
        steps_per_second=steps_per_second,
        measured=measured,
        workers=max(1, math.ceil(steps_per_second * measured.worker_seconds_per_step / WORKER_LOAD)),
        masters=masters,
        maxmemory=maxmemory,
        machine_memory=math.ceil(maxmemory / STORE_FRACTION),
    )
