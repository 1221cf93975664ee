"""Memory that the embedded server may use: a part of what the machine or the control group of the service has."""

import os
from pathlib import Path

from service.domain.runtime.control_groups import GROUPS, PROC, memory_groups, read_number

#: Part of the memory left by the workers. While the server rewrites its append-only file, a forked child shares its
#: pages, and each page that is written meanwhile exists twice: twice the data must fit.
STORE_FRACTION = 0.45
#: Memory of a worker with models of moderate size.
WORKER_BYTES = 512 * 2**20
#: Smallest part of all memory that is divided by STORE_FRACTION, however many workers there are.
MIN_FRACTION = 0.25

#: Files with the limits of a control group, by the version of control groups.
_LIMITS = {1: ("memory.limit_in_bytes",), 2: ("memory.max", "memory.high")}


def default_max_bytes(workers: int, total: int | None = None) -> int:
    """Return the limit of the embedded server's memory beside `workers`, of `total` bytes (None: `total_memory()`)."""
    total = total_memory() if total is None else total
    return int(STORE_FRACTION * max(total - workers * WORKER_BYTES, MIN_FRACTION * total))


def total_memory(proc: Path = PROC, groups: Path = GROUPS) -> int:
    """Return the memory in bytes that this process and its children may use: the machine's, or a control group's."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [
        read_number(folder / name) for version, folder in memory_groups(proc, groups) for name in _LIMITS[version]
    ]
    return min([machine, *(limit for limit in limits if limit is not None)])
