"""Processes of the measured servers: start on a free port, wait until ready, and stop with all children."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 90.0
STOP_SECONDS = 30.0
LOG_CHARACTERS = 600


class NotStarted(Exception):
    """Raised if a server could not be started; the message says why."""


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def children_named(parent: int, name: str) -> list[str]:
    """Return the ids of the children of a process whose command line holds `name`."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [pid for pid in children if name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]


def processor_seconds(parent: int, name: str) -> float:
    """Return the processor time that the children of a process have used whose command line holds `name`."""
    stats = [Path(f"/proc/{pid}/stat").read_text() for pid in children_named(parent, name)]
    times = [stat.rpartition(")")[2].split()[11:13] for stat in stats]
    return sum(int(ticks) for pair in times for ticks in pair) / os.sysconf("SC_CLK_TCK")


def answers(url: str) -> bool:
    """Return whether a GET of `url` is answered with status 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def running(
    command: Sequence[str], ready: Callable[[str], bool], environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in its own process group until the block ends. `ready` is called with its log so far.

    Its temporary files are removed. Raises NotStarted with the end of its log if it exits before it is ready, or takes
    too long.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        with path.open("wb") as log:
            try:
                process = subprocess.Popen(
                    command,
                    env={**os.environ, **(environment or {}), "TMPDIR": folder},
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as error:
                raise NotStarted(f"{command[0]}: {error.strerror}") from error
        try:
            _await(process, path, ready)
            yield process
        finally:
            _stop(process)


def _await(process: subprocess.Popen[bytes], log: Path, ready: Callable[[str], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready(log.read_text(errors="replace")):
        late = time.monotonic() > deadline
        if late or process.poll() is not None:
            end = "no answer in time" if late else f"exit status {process.returncode}"
            raise NotStarted(f"{end}: {log.read_text(errors='replace').strip()[-LOG_CHARACTERS:]}")
        time.sleep(0.1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Terminate the server, then kill the rest of its process group: some servers leave children behind."""
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
