"""Control groups of this process (Linux), whose limits hold for it as those of the machine do."""

from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
GROUPS = Path("/sys/fs/cgroup")


def memory_groups(proc: Path = PROC, groups: Path = GROUPS) -> Iterator[tuple[int, Path]]:
    """Yield version and folder of each control group that bounds the memory of this process, with all ancestors.

    In a container the path of a group can be that of the host: a folder need not exist.
    """
    for line in read_lines(proc / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            version, root = 2, groups
        elif "memory" in controllers.split(","):
            version, root = 1, groups / "memory"
        else:
            continue
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            yield version, folder
            if folder == root:
                break


def read_number(file: Path) -> int | None:
    """Return the number that a file of the system holds; None for no file, and for `max`, which is no limit."""
    text = "".join(read_lines(file)).strip()
    return int(text) if text.isdecimal() else None


def read_lines(file: Path) -> list[str]:
    """Return the lines of a file of the system, or none if it cannot be read."""
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
