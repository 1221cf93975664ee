"""Supervisor: the process of `unroll serve`, which starts, watches and stops all others.

It starts the private store if none is configured, opens the port, starts the workers on it and replaces those that die,
hang or use too much memory. On SIGUSR1 it restarts all workers one by one. On SIGTERM or Ctrl-C it stops the workers
first and the store last. It does not import torch, so it starts at once and stays small.
"""

import contextlib
import ipaddress
import logging
import os
import select
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from service import certificates
from service.domain.access.api_keys import KEYS_SETTING
from service.domain.errors import SettingsError
from service.process.draining_workers import kill_all
from service.process.grpc_port import reserved_port
from service.process.listening import listen
from service.process.memory_limit import MemoryLimit, default_limit
from service.process.watchdog import Watchdog
from service.process.worker_pool import WorkerPool
from service.process.worker_process import EX_CONFIG, KILL_MARGIN_SECONDS, WorkerProcess
from service.settings import Settings, to_environment
from service.store.embedded.memory import default_max_bytes, total_memory
from service.store.embedded.server import EmbeddedServer
from service.store.embedded.watcher import ServerWatcher
from service.telemetry.supervisor_metrics import SupervisorMetrics

log = logging.getLogger(__name__)

#: Python's arguments for a worker. -P keeps the folder that the service was started in out of its imports.
WORKER = ("-P", "-m", "service.process.worker")
POLL_SECONDS = 0.5


@dataclass(slots=True)
class Supervisor:
    """Supervisor of a service. `run` returns the exit status when the service is told to stop.

    `worker` are Python's arguments for a worker process; `WorkerProcess` appends its file descriptors.
    """

    settings: Settings
    worker: tuple[str, ...] = WORKER
    _stopping: bool = False
    _skip_drain: bool = False
    _restart_workers: bool = False
    _starting_store: EmbeddedServer | None = None
    _watchdog: Watchdog = field(init=False)
    _memory_limit: MemoryLimit = field(init=False)

    def __post_init__(self) -> None:
        self._watchdog = Watchdog(self.settings.watchdog_seconds)
        self._memory_limit = MemoryLimit(_max_worker_bytes(self.settings))

    def run(self) -> int:
        """Start the store and the workers, supervise them, and stop them. Raises SettingsError."""
        try:
            return self._run()
        except SettingsError:
            if self._stopping:
                return 0  # the start was interrupted
            raise

    def _run(self) -> int:
        scheme = "http" if certificates.load(self.settings) is None else "https"
        with contextlib.ExitStack() as stack:
            wake = stack.enter_context(self._signals())
            listener = stack.enter_context(listen(self.settings))
            settings = stack.enter_context(reserved_port(self.settings))
            store = stack.enter_context(self._store())
            url = self.settings.redis_url if store is None else store.url
            metrics = stack.enter_context(tempfile.TemporaryDirectory(prefix="unroll-metrics-"))
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics
            environment = os.environ | to_environment(settings) | {"REDIS_URL": url or ""}
            # One thread per process: OpenMP threads beside a busy event loop stall for milliseconds at a time.
            environment.setdefault("OMP_NUM_THREADS", "1")
            # Weights in huge pages: a matrix product that reads 20 MB of them takes a fifth to a quarter less time.
            environment.setdefault("THP_MEM_ALLOC_ENABLE", "1")
            # The C library of gRPC would write what hostile clients send to standard error, as it is.
            environment.setdefault("GRPC_VERBOSITY", "NONE")
            command = [sys.executable, *self.worker]
            host, port = listener.getsockname()[:2]
            log.info("starting", extra={"url": f"{scheme}://{host}:{port}", "workers": self.settings.workers})
            warn_of_open_access(self.settings, host)
            observer = SupervisorMetrics()
            pool = self._pool(lambda: WorkerProcess(command, environment, listener), observer)
            stack.callback(self._stop_workers, pool, listener, wake)
            while not self._stopping and not pool.misconfigured:
                self._supervise(pool, observer)
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
            self._restart_workers = True
        elif number != signal.SIGCHLD:
            # At a terminal no load balancer needs the drain time, and a second signal asks to skip it.
            self._skip_drain = self._stopping or number == signal.SIGINT
            self._stopping = True
            if self._starting_store is not None:
                self._starting_store.interrupt()

    @contextlib.contextmanager
    def _store(self) -> Iterator[EmbeddedServer | None]:
        if self.settings.redis_url is not None:
            yield None
            return
        store = EmbeddedServer(self.settings.state_dir, max_bytes=_max_store_bytes(self.settings))
        self._starting_store = store
        store.start()
        self._starting_store = None
        try:
            with ServerWatcher(store, self.settings.store_min_free_bytes):
                yield store
        finally:
            store.stop()

    def _pool(self, start: Callable[[], WorkerProcess], observer: SupervisorMetrics) -> WorkerPool:
        return WorkerPool(
            self.settings.workers,
            start,
            drain_seconds=self.settings.grace_seconds + KILL_MARGIN_SECONDS,
            on_replace=observer.worker_replaced,
        )

    def _supervise(self, pool: WorkerPool, observer: SupervisorMetrics) -> None:
        now = time.monotonic()
        if self._restart_workers:
            self._restart_workers = False
            log.info("renewing workers")
            pool.rolling_restart(now)
        pool.kill_hung(self._watchdog.hung(pool.workers(), now))
        grown = self._memory_limit.exceeding(pool.serving(), now)
        observer.worker_memory(self._memory_limit.largest, self._memory_limit.limit)
        if grown is not None:
            pool.renew(grown, "memory")
        pool.supervise(now)

    def _stop_workers(self, pool: WorkerPool, listener: socket.socket, wake: socket.socket) -> None:
        """Stop the workers; they finish requests in progress within the grace time."""
        # The workers have the port open: it closes with the last of them that accepts.
        listener.close()
        for worker in pool.workers():
            worker.stop()
        deadline, skipped = time.monotonic() + self.settings.grace_seconds + KILL_MARGIN_SECONDS, False
        while (left := pool.workers()) and time.monotonic() < deadline:
            if self._skip_drain and not skipped:
                skipped = True
                for worker in left:
                    worker.skip_drain()
            pool.kill_hung(self._watchdog.hung(left, time.monotonic()))
            _sleep(wake)
        kill_all(left)
        log.info("stopped")


def warn_of_open_access(settings: Settings, host: str) -> None:
    """Say whom a service without API keys is open to."""
    if settings.api_keys or settings.api_keys_file is not None:
        return
    here = ipaddress.ip_address(host.partition("%")[0]).is_loopback
    open_to = "every program on this machine" if here else f"everyone who can connect to this machine at {host}"
    log.warning("no API keys: whoever connects may use all", extra={"open_to": open_to, "setting": KEYS_SETTING})


def _max_store_bytes(settings: Settings) -> int:
    return settings.store_max_bytes or default_max_bytes(settings.workers)


def _max_worker_bytes(settings: Settings) -> int:
    """Return the limit of a worker's memory; 0 is none."""
    if settings.worker_max_memory_bytes is not None:
        return settings.worker_max_memory_bytes
    store = _max_store_bytes(settings) if settings.redis_url is None else 0
    return default_limit(total_memory() - store, settings.workers)


def _sleep(wake: socket.socket) -> None:
    """Wait for a signal or for POLL_SECONDS."""
    select.select([wake], [], [], POLL_SECONDS)
    with contextlib.suppress(BlockingIOError):
        wake.recv(4096)
