"""Memory of the embedded server, by the machine and by control groups of both versions."""

import os
from pathlib import Path

import pytest

from service.store.embedded.memory import default_max_bytes, total_memory

MIB = 2**20
MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def group(folder: Path, membership: str, **limits: str) -> int:
    """Return the memory of a process in control groups whose files, by their path, have these contents."""
    (folder / "self").mkdir()
    (folder / "self" / "cgroup").write_text(membership)
    for path, text in limits.items():
        file = folder / "sys" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return total_memory(folder, folder / "sys")


def test_without_control_groups_the_memory_is_that_of_the_machine(tmp_path: Path) -> None:
    assert total_memory(tmp_path, tmp_path / "sys") == MACHINE


@pytest.mark.parametrize(
    ("membership", "limits"),
    [
        ("0::/unit\n", {"unit/memory.max": "1048576"}),
        ("0::/\n", {"memory.max": "1048576"}),
        ("0::/unit/inner\n", {"unit/memory.max": "1048576", "unit/inner/memory.max": "max"}),
        ("0::/unit\n", {"unit/memory.max": "2097152", "unit/memory.high": "1048576"}),
        ("0::/of/the/host\n", {"memory.max": "1048576"}),
        ("4:cpu,memory:/unit\n0::/\n", {"memory/unit/memory.limit_in_bytes": "1048576"}),
        ("4:memory:/of/the/host\n", {"memory/memory.limit_in_bytes": "1048576"}),
    ],
)
def test_the_smallest_limit_of_a_control_group_and_its_ancestors_counts(
    tmp_path: Path, membership: str, limits: dict[str, str]
) -> None:
    assert group(tmp_path, membership, **limits) == MIB


def test_a_limit_beyond_the_machine_is_none(tmp_path: Path) -> None:
    limits = {"memory/memory.limit_in_bytes": "9223372036854771712"}
    assert group(tmp_path, "4:memory:/\n", **limits) == MACHINE


@pytest.mark.parametrize("total_mib", [512, 1024, 2048, 16_384])
@pytest.mark.parametrize("workers", [1, 2, 8])
def test_twice_the_store_fits_beside_the_workers_or_into_a_quarter_of_the_memory(total_mib: int, workers: int) -> None:
    total = total_mib * MIB
    limit = default_max_bytes(workers, total)
    assert limit > 8 * MIB
    assert 2 * limit <= max(total - workers * 512 * MIB, total / 4)
