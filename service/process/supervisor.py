"""Supervisor: the process of `unroll serve`, which starts, watches and stops all others.

It starts the private store if none is configured, opens the port, starts the workers on it, replaces those that die and
on SIGUSR1 all of them, and on SIGTERM or Ctrl-C stops the workers first and the store last. No torch here: it is up at
once and stays small.
"""

import contextlib
import errno
import logging
import os
import select
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

from service.domain.errors import SettingsError
from service.process.worker_pool import BACKOFF, WorkerPool
from service.process.worker_process import EX_CONFIG, WorkerProcess
from service.settings import Settings, to_environment
from service.store.embedded.server import EmbeddedServer

log = logging.getLogger(__name__)

#: What a worker's process runs: -P keeps the folder that the service was started in out of its imports.
WORKER = ("-P", "-m", "service.process.worker")
PORT_SECONDS = 15.0
POLL_SECONDS = 0.5
#: What a worker may take beyond its grace time before it is killed.
SPARE_SECONDS = 2.0


@dataclass(slots=True)
class Supervisor:
    """Supervisor of a service. `run` returns the exit status when the service is told to stop.

    `worker` is what Python runs as a worker, with the file descriptors of service/process/worker_process.py behind it.
    """

    settings: Settings
    worker: tuple[str, ...] = WORKER
    _stopping: bool = False
    _skip_drain: bool = False
    _renew: bool = False
    _restart_store_at: float = 0.0

    def run(self) -> int:
        """Start the store and the workers, supervise them, and stop them. Raises SettingsError."""
        with contextlib.ExitStack() as stack:
            wake = stack.enter_context(self._signals())
            listener = stack.enter_context(_listen(self.settings))
            store = stack.enter_context(self._store())
            url = self.settings.redis_url if store is None else store.url
            metrics = stack.enter_context(tempfile.TemporaryDirectory(prefix="unroll-metrics-"))
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics
            environment = os.environ | to_environment(self.settings) | {"REDIS_URL": url or ""}
            # One thread a process: OpenMP threads beside a busy event loop stall for milliseconds at a time.
            environment.setdefault("OMP_NUM_THREADS", "1")
            # Weights in huge pages: a product that reads 20 MB of them takes a fifth to a quarter less time.
            environment.setdefault("THP_MEM_ALLOC_ENABLE", "1")
            command = [sys.executable, *self.worker]
            host, port = listener.getsockname()[:2]
            log.info("starting", extra={"url": f"http://{host}:{port}", "workers": self.settings.workers})
            pool = WorkerPool(self.settings.workers, lambda: WorkerProcess(command, environment, listener))
            stack.callback(self._stop_workers, pool, listener, wake)
            while not self._stopping and not pool.misconfigured:
                self._supervise(pool)
                if store is not None and not store.alive():
                    self._restart(store)
                _sleep(wake)
        return EX_CONFIG if pool.misconfigured else 0

    @contextlib.contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        """Yield a socket that becomes readable at every signal."""
        readable, writable = socket.socketpair()
        for end in (readable, writable):
            end.setblocking(False)
        before = signal.set_wakeup_fd(writable.fileno(), warn_on_full_buffer=False)
        handlers = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)
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
        if number == signal.SIGUSR1:
            self._renew = True
        elif number != signal.SIGCHLD:
            # No load balancer watches what runs at a terminal; and who asks twice does not want to wait.
            self._skip_drain = self._stopping or number == signal.SIGINT
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

    def _supervise(self, pool: WorkerPool) -> None:
        now = time.monotonic()
        if self._renew:
            self._renew = False
            log.info("renewing workers")
            pool.rolling_restart(now)
        pool.supervise(now)

    def _stop_workers(self, pool: WorkerPool, listener: socket.socket, wake: socket.socket) -> None:
        """Stop the workers; they finish requests in progress within the grace time."""
        # From now on the port is the workers': it closes with the last of them that accepts.
        listener.close()
        for member in pool.members():
            member.stop()
        deadline, hurried = time.monotonic() + self.settings.grace_seconds + SPARE_SECONDS, False
        while (left := pool.members()) and time.monotonic() < deadline:
            if self._skip_drain and not hurried:
                hurried = True
                for member in left:
                    member.skip_drain()
            _sleep(wake)
        for member in left:
            log.warning("worker did not stop in time", extra={"pid": member.pid})
            member.kill()
        log.info("stopped")


def _sleep(wake: socket.socket) -> None:
    """Wait for a signal or for POLL_SECONDS."""
    select.select([wake], [], [], POLL_SECONDS)
    with contextlib.suppress(BlockingIOError):
        wake.recv(4096)


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
