"""`unroll serve`: the one process that starts others, and outlives them.

It starts the private store if none is configured, opens the port, starts the workers on it, replaces those that die,
and on SIGTERM or Ctrl-C stops the workers first and the store last. No torch here: it is up at once and stays small.
"""

import contextlib
import errno
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client.multiprocess import mark_process_dead

from service.errors import SettingsError
from service.settings import Settings, to_environment
from service.store.embedded import EmbeddedServer

log = logging.getLogger(__name__)

#: A worker's exit status for wrong settings (sysexits.h): starting it again is pointless.
EX_CONFIG = 78
#: What a worker's process runs: -P keeps the folder that the service was started in out of its imports.
WORKER = ("-P", "-m", "service.worker")
#: A worker that lived shorter than this is not replaced at once, but after the seconds of BACKOFF.
HEALTHY_SECONDS = 10.0
PORT_SECONDS = 15.0
BACKOFF = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
LOOK_EVERY = 0.5


@dataclass(slots=True)
class Slot:
    """A place for one worker: the process in it, and when the next one may start."""

    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    start_at: float = 0.0
    failures: int = 0


@dataclass(slots=True)
class Supervisor:
    """Runs the service until it is told to stop; `run` returns the exit status.

    `worker` is what Python runs as a worker, with the two file descriptors of service/worker.py behind it.
    """

    settings: Settings
    worker: tuple[str, ...] = WORKER
    _slots: list[Slot] = field(default_factory=list)
    _stopping: bool = False
    _status: int = 0
    _restart_store_at: float = 0.0

    def run(self) -> int:
        """Start everything, watch over it, stop everything. Raises SettingsError."""
        with contextlib.ExitStack() as stack:
            wake = stack.enter_context(self._signals())
            listener = stack.enter_context(_listen(self.settings))
            store = stack.enter_context(self._store())
            url = self.settings.redis_url if store is None else store.url
            metrics = stack.enter_context(tempfile.TemporaryDirectory(prefix="unroll-metrics-"))
            life, held = os.pipe()
            stack.callback(os.close, held)
            stack.callback(os.close, life)
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics
            environment = os.environ | to_environment(self.settings) | {"REDIS_URL": url or ""}
            # One thread a process: OpenMP threads beside a busy event loop stall for milliseconds at a time.
            environment.setdefault("OMP_NUM_THREADS", "1")
            command = [sys.executable, *self.worker, str(listener.fileno()), str(life)]
            host, port = listener.getsockname()[:2]
            log.info("starting", extra={"url": f"http://{host}:{port}", "workers": self.settings.workers})
            self._slots = [Slot() for _ in range(self.settings.workers)]
            stack.callback(self._stop_workers)
            while not self._stopping:
                self._look_after(command, environment, (listener.fileno(), life))
                if store is not None and not store.alive():
                    self._restart(store)
                select.select([wake], [], [], LOOK_EVERY)
                with contextlib.suppress(BlockingIOError):
                    wake.recv(4096)
        return self._status

    @contextlib.contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        """Give a socket that becomes readable at every signal."""
        readable, writable = socket.socketpair()
        for end in (readable, writable):
            end.setblocking(False)
        before = signal.set_wakeup_fd(writable.fileno(), warn_on_full_buffer=False)
        handlers = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN  # as nohup leaves it
        }
        try:
            yield readable
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before)
            readable.close()
            writable.close()

    def _on_signal(self, number: int, _: object) -> None:
        if number != signal.SIGCHLD:
            self._stopping = True

    @contextlib.contextmanager
    def _store(self) -> Iterator[EmbeddedServer | None]:
        if self.settings.redis_url is not None:
            yield None
            return
        store = EmbeddedServer(self.settings.state_dir)
        store.start()
        try:
            yield store
        finally:
            store.stop()

    def _restart(self, store: EmbeddedServer) -> None:
        if time.monotonic() < self._restart_store_at:
            return
        log.error("the private store died; starting it again")
        try:
            store.restart()
        except SettingsError as error:
            # Predictions without a session go on meanwhile.
            log.error("the private store does not start", extra={"reason": str(error)})
            self._restart_store_at = time.monotonic() + BACKOFF[-1]

    def _look_after(self, command: list[str], environment: dict[str, str], fds: tuple[int, int]) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if slot.process is not None and slot.process.poll() is not None:
                self._bury(slot, slot.process, now)
            if slot.process is None and not self._stopping and now >= slot.start_at:
                # A session of its own: Ctrl-C at the terminal reaches the supervisor alone.
                slot.process = subprocess.Popen(command, env=environment, pass_fds=fds, start_new_session=True)
                slot.started_at = now

    def _bury(self, slot: Slot, process: "subprocess.Popen[bytes]", now: float) -> None:
        slot.process = None
        mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
        if process.returncode == EX_CONFIG:
            self._stopping, self._status = True, EX_CONFIG
            return
        slot.failures = 0 if now - slot.started_at >= HEALTHY_SECONDS else slot.failures + 1
        delay = BACKOFF[min(slot.failures, len(BACKOFF) - 1)] if slot.failures > 1 else 0.0
        slot.start_at = now + delay
        log.error("worker died", extra={"pid": process.pid, "status": process.returncode, "restart_in": delay})

    def _stop_workers(self) -> None:
        """Let the workers finish what is under way, within the grace time."""
        alive = [slot.process for slot in self._slots if slot.process is not None]
        for process in alive:
            process.terminate()
        deadline = time.monotonic() + self.settings.grace_seconds + 2
        for process in alive:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("worker did not stop in time", extra={"pid": process.pid})
                process.kill()
                process.wait()
        log.info("stopped")


def _listen(settings: Settings) -> socket.socket:
    """Open the port that all workers accept on. Raises SettingsError."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    deadline, waited = time.monotonic() + PORT_SECONDS, False
    while True:
        try:
            return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
        except OSError as error:
            # The workers of a supervisor that was just killed are about to let go of the port.
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                if not waited:
                    log.warning("the port is taken; waiting for it", extra={"port": settings.port})
                waited = True
                time.sleep(0.1)
                continue
            raise _cannot_listen(settings, error) from None


def _cannot_listen(settings: Settings, error: OSError) -> SettingsError:
    return SettingsError(
        f"cannot listen on UNROLL_HOST {settings.host}, UNROLL_PORT {settings.port}: {error.strerror}; "
        "expected an address of this machine and a free port"
    )
