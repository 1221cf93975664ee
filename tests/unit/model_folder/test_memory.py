"""The memory that is available, as the system's files tell it."""

from pathlib import Path

import pytest

from service.model_folder.memory import NotEnoughMemory, available_memory, require_memory

GIB = 2**30


def system(root: Path, files: dict[str, str]) -> tuple[Path, Path]:
    """Write files below `root`, and return the folders of processes and of control groups."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root / "proc", root / "cgroup"


MACHINE = {"proc/meminfo": f"MemTotal: {64 * 2**20} kB\nMemFree: 1 kB\nMemAvailable: {8 * 2**20} kB\n"}


def test_without_control_groups_it_is_that_of_the_machine(tmp_path: Path) -> None:
    assert available_memory(*system(tmp_path, MACHINE)) == 8 * GIB


def test_a_system_that_does_not_tell_is_unlimited(tmp_path: Path) -> None:
    assert available_memory(*system(tmp_path, {})) is None


def test_a_control_group_leaves_its_limit_without_what_is_used_and_not_reclaimable(tmp_path: Path) -> None:
    group = {
        "proc/self/cgroup": "0::/a/b\n",
        "cgroup/a/b/memory.max": str(3 * GIB),
        "cgroup/a/b/memory.current": str(2 * GIB),
        "cgroup/a/b/memory.stat": f"anon 5\ninactive_file {GIB // 2}\n",
    }
    assert available_memory(*system(tmp_path, MACHINE | group)) == GIB + GIB // 2


def test_the_tightest_group_counts(tmp_path: Path) -> None:
    group = {
        "proc/self/cgroup": "0::/a/b\n",
        "cgroup/a/b/memory.max": "max\n",
        "cgroup/a/b/memory.current": "5\n",
        "cgroup/a/memory.max": str(GIB),
        "cgroup/a/memory.current": "0\n",
    }
    assert available_memory(*system(tmp_path, MACHINE | group)) == GIB


def test_in_a_container_the_root_is_the_own_group(tmp_path: Path) -> None:
    group = {
        "proc/self/cgroup": "0::/system.slice/of the host\n",
        "cgroup/memory.max": str(GIB),
        "cgroup/memory.current": "0",
    }
    assert available_memory(*system(tmp_path, MACHINE | group)) == GIB


def test_control_groups_of_version_1_are_read(tmp_path: Path) -> None:
    group = {
        "proc/self/cgroup": "3:cpu,cpuacct:/x\n2:memory:/x\n0::/x\n",
        "cgroup/memory/x/memory.limit_in_bytes": str(GIB),
        "cgroup/memory/x/memory.usage_in_bytes": str(GIB // 4),
        "cgroup/memory/x/memory.stat": "total_inactive_file 0\n",
    }
    assert available_memory(*system(tmp_path, MACHINE | group)) == 3 * GIB // 4


def test_more_than_is_available_is_refused(tmp_path: Path) -> None:
    require_memory(tmp_path / "model.safetensors", 1)
    with pytest.raises(
        NotEnoughMemory, match="found tensors that take 1073741824 MiB to load, expected at most"
    ) as told:
        require_memory(tmp_path / "model.safetensors", 2**50)
    assert told.value.needed > 2**50
