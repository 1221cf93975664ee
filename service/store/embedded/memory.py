"""Memory that the embedded server may use: a part of what the machine or the control group of the service has."""

import os
from collections.abc import Iterator
from pathlib import Path

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


def total_memory(processes: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the memory in bytes that this process and its children may use: the machine's, or a control group's."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_group_limits(processes / "self" / "cgroup", groups)])


def _group_limits(membership: Path, groups: Path) -> Iterator[int]:
    """Yield the limits of the control groups that this process belongs to, with all their ancestors."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:  # no control groups
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from _limits(groups, path, _LIMITS[2])
        elif "memory" in controllers.split(","):
            yield from _limits(groups / "memory", path, _LIMITS[1])


def _limits(root: Path, path: str, names: tuple[str, ...]) -> Iterator[int]:
    # In a container the path can be that of the host, and only the root exists.
    group = root / path.lstrip("/")
    for folder in (group, *group.parents):
        for name in names:
            limit = _read_limit(folder / name)
            if limit is not None:
                yield limit
        if folder == root:
            return


def _read_limit(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # "max" is no limit
