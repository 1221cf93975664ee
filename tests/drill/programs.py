"""Programs of Debian's packages: where they are, and processes of them that are ended by their id."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

STOP_SECONDS = 20.0
#: Programs, and the packages that have them.
PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "haproxy": "haproxy",
}


def find(program: str) -> Path | None:
    """Return where a program is, also one that only root has on its path."""
    found = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    return None if found is None else Path(found)


def require(*programs: str) -> list[Path]:
    """Return where the programs are, or skip the test with the command that installs them."""
    found = {program: find(program) for program in programs}
    lacking = sorted({PACKAGES[program] for program, path in found.items() if path is None})
    if lacking:
        pytest.skip(f"not installed: apt-get install {' '.join(lacking)}")
    return [path for path in found.values() if path is not None]


def check(command: Sequence[str | Path]) -> str:
    """Run a program to its end and return what it printed; what it says is the failure of the test."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    return printed


class Program:
    """A program that runs until it is stopped; its output is in a file."""

    def __init__(self, command: Sequence[str | Path], log: Path) -> None:
        self._command = [str(word) for word in command]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def reload(self) -> None:
        """Have it read its configuration again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """Terminate it; kill it if that takes too long."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
