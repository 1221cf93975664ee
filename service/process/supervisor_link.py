"""Worker's side of the control socket: commands and death of the supervisor, signals, and heartbeats to it."""

import asyncio
import contextlib
import logging
import signal
import socket

from service.process.graceful_shutdown import GracefulShutdown
from service.process.orphan_guard import NOTICED, SUPERVISOR_EXITED
from service.process.worker_process import DRAINING, HEARTBEAT, READY, SKIP_DRAIN, STOP

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
#: Minimum number of heartbeats within the time after which the supervisor kills a silent worker.
MIN_HEARTBEATS = 4


class SupervisorLink:
    """Link to the supervisor, which kills a worker without heartbeats for `watchdog_seconds` (0: never)."""

    def __init__(self, control_socket: socket.socket, shutdown: GracefulShutdown, watchdog_seconds: float) -> None:
        self._socket = control_socket
        self._shutdown = shutdown
        self._interval = min(HEARTBEAT_SECONDS, (watchdog_seconds or HEARTBEAT_SECONDS) / MIN_HEARTBEATS)

    def open(self) -> None:
        """Handle signals and commands, report that the worker is ready, and begin the heartbeats."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        loop.add_signal_handler(SUPERVISOR_EXITED, self._on_exit)
        loop.add_reader(self._socket, self._on_command)
        self._send(READY)
        self._beat(loop)
        log.info("worker ready")

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._send(HEARTBEAT)
        loop.call_later(self._interval, self._beat, loop)

    def _on_signal(self) -> None:
        if self._shutdown.begun:
            self._shutdown.skip_drain()
        else:
            self._send(DRAINING)
            self._shutdown.begin(alone=True)

    def _on_exit(self) -> None:
        NOTICED.set()
        # The control socket may have reported the same. A worker that someone else signals needs a replacement.
        if not self._shutdown.begun:
            self._send(DRAINING)
            log.warning("supervisor exited")
            self._shutdown.begin(alone=True)

    def _on_command(self) -> None:
        commands = self._receive()
        if not commands:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._on_exit()
        if STOP in commands:
            self._shutdown.begin(alone=False)
        if SKIP_DRAIN in commands:
            self._shutdown.skip_drain()

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(16)
        except ConnectionError:
            return b""

    def _send(self, message: bytes) -> None:
        with contextlib.suppress(OSError):  # the supervisor has died, or is stopped and reads nothing
            self._socket.send(message)
