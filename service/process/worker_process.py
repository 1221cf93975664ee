"""A worker process from the supervisor's side, and the messages between the two.

Each worker has a control socket to the supervisor. Both send single bytes on it; if it closes, the other end has died.
"""

import contextlib
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
#: The whole service stops. No other worker accepts connections, so this one does until its drain time is over.
STOP = b"s"
#: The drain time ends now.
SKIP_DRAIN = b"h"


class WorkerProcess:
    """A worker process: `command`, followed by the file descriptors of the listening and of the control socket."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], listener: socket.socket) -> None:
        self._control_socket, worker_end = socket.socketpair()
        self._control_socket.setblocking(False)
        self._messages = b""
        with worker_end:
            fds = (listener.fileno(), worker_end.fileno())
            # A session of its own: Ctrl-C at the terminal reaches the supervisor alone.
            self._process = subprocess.Popen(
                [*command, *map(str, fds)], env=environment, pass_fds=fds, start_new_session=True
            )

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
        return READY in self._received()

    def draining(self) -> bool:
        return DRAINING in self._received()

    def drain(self) -> None:
        """Drain this worker while the others go on. A worker that is still starting ends at once."""
        self._process.terminate()

    def stop(self) -> None:
        """Drain this worker together with all others."""
        self._send(STOP) if self.ready() else self._process.terminate()

    def skip_drain(self) -> None:
        """End the drain time of a worker that drains."""
        self._send(SKIP_DRAIN)

    def kill(self) -> None:
        """Kill the process and wait for its end."""
        self._process.kill()
        self._process.wait()
        self.exit_status()

    def _send(self, command: bytes) -> None:
        with contextlib.suppress(OSError):  # the process died
            self._control_socket.send(command)

    def _received(self) -> bytes:
        with contextlib.suppress(OSError):  # nothing new, or the process died
            self._messages += self._control_socket.recv(16)
        return self._messages
