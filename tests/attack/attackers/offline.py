"""Commands of `unroll` run on damaged files in forked processes, many in each, so that a crash names its case."""

import importlib
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.attack.attackers.base import Tally

#: Cases of one process. What a process grows by is judged, so they are as many as show a leak.
BATCH = 50
_MEMORY_BYTES = 500 * 2**20
_SECONDS = 40
_SHOWN = 300

#: Writes the case of a number into an empty folder, and returns what it is and the arguments of the command.
Write = Callable[[int, Path], tuple[str, Sequence[str]]]


def import_commands() -> None:
    """Import what all forked processes need, torch above all."""
    for name in ("service.cli", "service.tooling.inspect.report", "service.tooling.verify.verifier", "typer.testing"):
        importlib.import_module(name)
    # A forked process has none of the threads of OpenMP that this one has begun, and would wait for them.
    importlib.import_module("torch").set_num_threads(1)


def run_batch(numbers: Sequence[int], write: Write, folder: Path, tally: Tally) -> None:
    """Run the command of each case in one forked process, and count what came of it.

    If the process ends before its last case, the case that ended it is a failure, and those behind it run in another.
    """
    while numbers:
        reports, status, peak = _fork(numbers, write, folder)
        for report in reports:
            tally.labels["files"] += 1
            tally.labels[f"exit status {report['status']}"] += 1
            if report["problem"]:
                tally.failures[f"{report['problem']} for {report['kind']}"] += 1
                tally.examples.setdefault(report["problem"], f"case {report['number']}: {report['output']}")
        if peak > _MEMORY_BYTES:
            tally.failures[f"+{peak // 2**20} MB in cases {numbers[0]} to {numbers[-1]}"] += 1
        if len(reports) < len(numbers):
            tally.failures[f"a process ended with {status}"] += 1
            tally.examples.setdefault(f"ended with {status}", f"case {numbers[len(reports)]}")
        numbers = numbers[len(reports) + 1 :]


def _fork(numbers: Sequence[int], write: Write, folder: Path) -> tuple[list[dict[str, str]], int, int]:
    """Return the reports of a forked process, one for each case that it came through, its status and its growth."""
    log, base = folder / "reports", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    log.write_bytes(b"")
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            _run(numbers, write, folder, log)
        except BaseException:  # noqa: BLE001 - of the suite itself
            log.write_text(traceback.format_exc(), "utf-8")
        finally:
            os._exit(0)
    _, status, usage = os.wait4(pid, 0)
    reports = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    return reports, os.waitstatus_to_exitcode(status), (usage.ru_maxrss - base) * 1024


def _run(numbers: Sequence[int], write: Write, folder: Path, log: Path) -> None:
    testing, app = importlib.import_module("typer.testing"), importlib.import_module("service.cli").app
    with log.open("a", encoding="utf-8") as reports:
        for number in numbers:
            place = folder / str(number)
            place.mkdir()
            kind, arguments = write(number, place)
            signal.alarm(_SECONDS)
            result = testing.CliRunner().invoke(app, [*arguments])
            signal.alarm(0)
            report = {
                "number": number,
                "kind": kind,
                "status": result.exit_code,
                "problem": problem(result.exit_code, result.exception, result.stderr),
                "output": f"{result.stderr[:_SHOWN]} {result.exception!r}"[: 2 * _SHOWN],
            }
            reports.write(json.dumps(report) + "\n")
            reports.flush()


def problem(status: int, error: BaseException | None, stderr: str) -> str:
    """Return what is wrong about the end of a command; it may succeed, or fail with one line of error."""
    if error is not None and not isinstance(error, SystemExit):
        return f"traceback of {type(error).__name__}"
    if status == 0:
        return ""
    if status != 1:
        return f"exit status {status}"
    if len(stderr.splitlines()) != 1:
        return f"{len(stderr.splitlines())} lines of error"
    return "an unexpected error" if stderr.startswith("unroll: unexpected") else ""
