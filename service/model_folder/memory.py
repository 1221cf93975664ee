"""Memory that is available to this process, of its machine and its control groups."""

from collections.abc import Iterator
from pathlib import Path

from service.domain.errors import ModelFolderError

PROC = Path("/proc")
GROUPS = Path("/sys/fs/cgroup")
#: Left for everything else that the process does meanwhile.
RESERVE_BYTES = 64 * 2**20


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
    for line in _lines(proc / "meminfo"):
        if line.startswith("MemAvailable:"):
            yield 1024 * int(line.split()[1])


def _control_groups(proc: Path, groups: Path) -> Iterator[int]:
    """Yield what is left in each control group of this process, in the layouts of version 2 and 1."""
    for line in _lines(proc / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _left(groups, path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _left(groups / "memory", path, *names)


def _left(root: Path, path: str, limit: str, usage: str, reclaimable: str) -> Iterator[int]:
    """Yield what is left in a control group and in each of its ancestors. In a container only the root may exist."""
    group = root / path.lstrip("/")
    for folder in (group, *group.parents):
        limits, used = _number(folder / limit), _number(folder / usage)
        if limits is not None and used is not None:
            cache = [line.split()[1] for line in _lines(folder / "memory.stat") if line.startswith(f"{reclaimable} ")]
            yield max(0, limits - used + sum(map(int, cache)))
        if folder == root:
            return


def _number(file: Path) -> int | None:
    """Return the number that a file of the system holds; None for no file, and for `max`."""
    text = "".join(_lines(file)).strip()
    return int(text) if text.isdecimal() else None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
