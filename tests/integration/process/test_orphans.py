"""A worker leaves with its supervisor by each of three ropes alone, even if its event loop hangs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.server import ROOT, eventually, is_running, short_folder, tiny_models

SUPERVISOR = """
import os, socket, subprocess, sys, time
from service.process.worker_process import WorkerProcess

code, leak = sys.argv[1:]
with socket.create_server(("127.0.0.1", 0)) as listener:
    worker = WorkerProcess([sys.executable, "-c", code], dict(os.environ), listener)
    if leak:
        control = worker._control_socket.fileno()
        print(subprocess.Popen(["sleep", "60"], pass_fds=[control], stdout=subprocess.DEVNULL).pid, flush=True)
    while not worker.ready():
        assert worker.exit_status() is None
        time.sleep(0.05)
    print(worker.pid, flush=True)
    sys.stdin.read()
"""
WORKER = """
import sys, time
from service.process import orphan_guard, supervisor_link, worker
{change}
sys.exit(worker.main())
"""
NO_GUARD = "worker.guard = lambda *_: None"
NO_THREAD = "orphan_guard.POLL_SECONDS = 3600"
NO_EXIT_SIGNAL = "orphan_guard.request_exit_signal = lambda: None"
HANG = "supervisor_link.SupervisorLink._beat = lambda *_: time.sleep(3600)"


@pytest.fixture(scope="module")
def models() -> Iterator[Path]:
    with short_folder() as folder:
        yield tiny_models(folder / "models")


@contextmanager
def orphan(models: Path, change: str, *, leak: bool) -> Iterator[int]:
    """Yield a worker whose supervisor was killed; with `leak` another process keeps the control socket open."""
    settings = {
        "REDIS_URL": "redis://127.0.0.1:1",
        "UNROLL_MODELS": str(models),
        "UNROLL_GRACE_SECONDS": "1",
        "UNROLL_DRAIN_SECONDS": "0",
    }
    command = [sys.executable, "-c", SUPERVISOR, WORKER.format(change=change), "leak" if leak else ""]
    pids: list[int] = []
    try:
        with subprocess.Popen(
            command, cwd=ROOT, env=os.environ | settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as supervisor:
            assert supervisor.stdout is not None
            pids += [int(supervisor.stdout.readline()) for _ in range(1 + leak)]
            assert is_running(pids[-1])
            supervisor.kill()
        yield pids[-1]
    finally:
        for pid in filter(is_running, pids):
            os.kill(pid, 9)


@pytest.mark.parametrize(
    ("change", "leak"),
    [(NO_GUARD, False), (NO_THREAD, True), (NO_EXIT_SIGNAL, True), (HANG, False)],
    ids=["the control socket", "the signal of the kernel", "the thread", "hanging"],
)
def test_a_worker_leaves_with_its_supervisor(models: Path, change: str, leak: bool) -> None:
    with orphan(models, change, leak=leak) as worker:
        eventually(lambda: not is_running(worker), 10)
