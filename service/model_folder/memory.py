"""Memory that is available to this process, of its machine and its control groups."""

from collections.abc import Iterator
from pathlib import Path

from service.domain.errors import ModelFolderError
from service.domain.runtime.control_groups import GROUPS, PROC, memory_groups, read_lines, read_number

#: Left for everything else that the process does meanwhile.
RESERVE_BYTES = 64 * 2**20

#: Files of limit and usage, and the field of `memory.stat` that can be reclaimed, by the version of control groups.
_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}


class NotEnoughMemory(ModelFolderError):
    """Raised if a model is larger than the memory that is available. It may fit later: `needed` is in bytes."""

    def __init__(self, message: str, needed: int) -> None:
        super().__init__(message)
        self.needed = needed


def require_memory(path: Path, needed: int) -> None:
    """Raise NotEnoughMemory unless `needed` bytes are available to load the file at `path`."""
    available = available_memory()
    if available is not None and needed + RESERVE_BYTES > available:
        raise NotEnoughMemory(
            f"{path}: found tensors that take {needed >> 20} MiB to load, expected at most "
            f"{max(0, available - RESERVE_BYTES) >> 20} MiB, the memory that is available",
            needed + RESERVE_BYTES,
        )


def available_memory(proc: Path = PROC, groups: Path = GROUPS) -> int | None:
    """Return the bytes that can be allocated without swapping, or None if the system does not tell."""
    amounts = [*_machine(proc), *_control_groups(proc, groups)]
    return min(amounts, default=None)


def _machine(proc: Path) -> Iterator[int]:
    for line in read_lines(proc / "meminfo"):
        if line.startswith("MemAvailable:"):
            yield 1024 * int(line.split()[1])


def _control_groups(proc: Path, groups: Path) -> Iterator[int]:
    """Yield what is left in each control group of this process."""
    for version, folder in memory_groups(proc, groups):
        limit, usage, reclaimable = _FILES[version]
        limits, used = read_number(folder / limit), read_number(folder / usage)
        if limits is not None and used is not None:
            lines = read_lines(folder / "memory.stat")
            cache = [line.split()[1] for line in lines if line.startswith(f"{reclaimable} ")]
            yield max(0, limits - used + sum(map(int, cache)))
