"""A worker process from the supervisor's side, and the messages between the two.

Each worker has a control socket to the supervisor. Both send single bytes on it; if it closes, the other end has died.
"""

import contextlib
import socket
import subprocess
from collections.abc import Sequence

from prometheus_client.multiprocess import mark_process_dead

#: Exit statuses of a worker, as in sysexits.h: found itself broken; wrong settings, starting it again is pointless.
EX_SOFTWARE = 70
EX_CONFIG = 78

#: The worker accepts connections.
READY = b"r"
#: The worker was told to go by someone else: another one may take its place.
DRAINING = b"g"
#: The whole service stops: no other worker accepts, so this one does until its drain time is over.
STOP = b"s"
#: The drain time is over now.
SKIP_DRAIN = b"h"


class WorkerProcess:
    """A worker process: `command`, followed by the file descriptors of the listening and of the control socket."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], listener: socket.socket) -> None:
        self._control_socket, theirs = socket.socketpair()
        self._control_socket.setblocking(False)
        self._said = b""
        with theirs:
            fds = (listener.fileno(), theirs.fileno())
            # A session of its own: Ctrl-C at the terminal reaches the supervisor alone.
            self._process = subprocess.Popen(
                [*command, *map(str, fds)], env=environment, pass_fds=fds, start_new_session=True
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> int | None:
        """Return the exit status, or None while it runs."""
        status = self._process.poll()
        if status is not None and self._control_socket.fileno() >= 0:
            self._control_socket.close()
            mark_process_dead(self.pid)  # type: ignore[no-untyped-call]
        return status

    def ready(self) -> bool:
        return READY in self._heard()

    def draining(self) -> bool:
        return DRAINING in self._heard()

    def leave(self) -> None:
        """Drain this worker while others stay. A worker that is still starting ends at once."""
        self._process.terminate()

    def stop(self) -> None:
        """Drain this worker with all others."""
        self._send(STOP) if self.ready() else self._process.terminate()

    def skip_drain(self) -> None:
        """End the drain time of a worker that drains."""
        self._send(SKIP_DRAIN)

    def kill(self) -> None:
        """Kill the process and wait for its end."""
        self._process.kill()
        self._process.wait()
        self.ended()

    def _send(self, order: bytes) -> None:
        with contextlib.suppress(OSError):  # it died
            self._control_socket.send(order)

    def _heard(self) -> bytes:
        with contextlib.suppress(OSError):  # nothing new, or it died
            self._said += self._control_socket.recv(16)
        return self._said
