"""`unroll inspect` on hostile files, each in a process of its own."""

import asyncio
import importlib
import os
import resource
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.attack.attackers.base import Tally, Target
from tests.attack.attackers.checkpoints import hostile_checkpoints

_MEMORY_BYTES = 400 * 2**20
_SECONDS = 30


@dataclass(frozen=True)
class HostileFiles:
    """Inspects one file after the other in a forked process, and reads its output, its memory and its end."""

    name: str = "files"
    family: str = "files"

    def prepare(self) -> None:
        """Import what all forked processes need, torch above all."""
        importlib.import_module("service.cli")
        importlib.import_module("service.tooling.inspect.report")

    async def run(self, target: Target, tally: Tally) -> None:
        with tempfile.TemporaryDirectory(prefix="unroll-attack-") as name:
            folder, mark = Path(name), Path(name) / "executed"
            for number, (kind, path) in enumerate(hostile_checkpoints(folder, mark, target.seed)):
                if not tally.running() or number >= target.count:
                    break
                _judge(kind, path, folder / "output", tally)
                if mark.exists():
                    tally.failures[f"{kind} was executed"] += 1
                    mark.unlink()
                await asyncio.sleep(0)


def _judge(kind: str, path: Path, output: Path, tally: Tally) -> None:
    """Inspect one file, and count what came of it."""
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    pid = os.fork()
    if pid == 0:
        _inspect(path, output)
    _, status, usage = os.wait4(pid, 0)
    tally.labels["files"] += 1
    tally.labels[f"exit status {os.waitstatus_to_exitcode(status)}"] += 1
    text = output.read_text("utf-8", "replace")
    grown = usage.ru_maxrss * 1024 - base
    failures = {
        f"traceback for {kind}": "Traceback" in text,
        f"{kind} ended by signal {os.WTERMSIG(status)}": os.WIFSIGNALED(status),
        f"+{grown // 2**20} MB for {kind}": grown > _MEMORY_BYTES,
    }
    tally.failures.update(what for what, broken in failures.items() if broken)


def _inspect(path: Path, output: Path) -> None:
    """Run `unroll inspect` in this forked process, which never returns."""
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    signal.alarm(_SECONDS)
    sys.argv = ["unroll", "inspect", str(path)]
    code = 70
    try:
        importlib.import_module("service.cli").main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - as the interpreter does with what nobody catches
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
