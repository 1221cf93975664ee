"""A worker process from the supervisor's side, and the messages between the two.

Each worker has a control socket to the supervisor. Both send single bytes on it; if it closes, the other end has died.
"""

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Sequence

from prometheus_client.multiprocess import mark_process_dead

#: Exit statuses of a worker, as in sysexits.h: it failed; its settings are invalid, so that a restart cannot help.
EX_SOFTWARE = 70
EX_CONFIG = 78

#: The worker accepts connections.
READY = b"r"
#: The worker drains after a signal that the supervisor did not send: it needs a replacement.
DRAINING = b"g"
#: The worker's event loop runs.
HEARTBEAT = b"b"
#: The whole service stops. No other worker accepts connections, so this one does until its drain time is over.
STOP = b"s"
#: The drain time ends now.
SKIP_DRAIN = b"h"

#: Signal at which a worker that is ready writes the stacks of its threads to standard error.
DUMP_STACKS = signal.SIGUSR2
#: Time beyond the grace time before a worker is killed.
KILL_MARGIN_SECONDS = 2.0
#: Maximum wait for the end of a killed process. The kernel ends one that waits for a disk only after that wait.
KILL_SECONDS = 1.0


class WorkerProcess:
    """A worker process: `command`, followed by the listening and the control descriptor and the supervisor's pid.

    Raises OSError if the process cannot be started.
    """

    def __init__(self, command: Sequence[str], environment: dict[str, str], listener: socket.socket) -> None:
        self._control_socket, worker_end = socket.socketpair()
        self._control_socket.setblocking(False)
        self._messages = b""
        with contextlib.ExitStack() as on_failure, worker_end:
            on_failure.enter_context(self._control_socket)
            fds = (listener.fileno(), worker_end.fileno())
            # A session of its own: Ctrl-C at the terminal reaches the supervisor alone.
            self._process = subprocess.Popen(
                [*command, *map(str, (*fds, os.getpid()))], env=environment, pass_fds=fds, start_new_session=True
            )
            on_failure.pop_all()

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_status(self) -> int | None:
        """Return the exit status, or None while the process runs."""
        status = self._process.poll()
        if status is not None and self._control_socket.fileno() >= 0:
            self._control_socket.close()
            mark_process_dead(self.pid)  # type: ignore[no-untyped-call]
        return status

    def ready(self) -> bool:
        return READY in self._receive()

    def draining(self) -> bool:
        return DRAINING in self._receive()

    def heartbeat(self) -> bool:
        """Return whether a heartbeat has arrived since the last call."""
        received = self._receive()
        self._messages = received.replace(HEARTBEAT, b"")
        return HEARTBEAT in received

    def drain(self) -> None:
        """Drain this worker while the others go on. A worker that is still starting ends at once."""
        self._process.terminate()

    def stop(self) -> None:
        """Drain this worker together with all others."""
        self._send(STOP) if self.ready() else self._process.terminate()

    def skip_drain(self) -> None:
        """End the drain time of a worker that drains."""
        self._send(SKIP_DRAIN)

    def dump_stacks(self) -> None:
        """Have a worker that is ready write the stacks of its threads to standard error, even if it hangs."""
        self._process.send_signal(DUMP_STACKS)

    def kill(self) -> None:
        """Kill the process and wait for its end, at most KILL_SECONDS."""
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(KILL_SECONDS)
        self.exit_status()

    def _send(self, command: bytes) -> None:
        with contextlib.suppress(OSError):  # the process died
            self._control_socket.send(command)

    def _receive(self) -> bytes:
        """Read what has arrived. Return all messages without the heartbeats that were counted."""
        with contextlib.suppress(OSError):  # nothing new, or the process died
            self._messages += self._control_socket.recv(4096)
        return self._messages
