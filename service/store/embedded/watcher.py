"""Watcher of the embedded server: restarts a server that died, hangs or lost its socket, and watches its disk."""

import contextlib
import logging
import shutil
import threading
import time
from typing import Self

from redis.exceptions import RedisError

from service.domain.errors import SettingsError
from service.store.embedded.server import EmbeddedServer, ServerState

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
#: Interval between two questions to a server that answers.
PING_SECONDS = 1.0
#: Number of unanswered pings, of two seconds each, after which a server counts as hanging.
MAX_SILENT_PINGS = 4
#: Pause after a restart that failed.
RETRY_SECONDS = 5.0
#: Free space of the disk under which writes are refused: this part of the disk, and at most so many bytes.
MIN_FREE_FRACTION = 0.1
MIN_FREE_BYTES = 256 * 2**20
#: Writes are accepted again at so many times that space.
RESUME_FACTOR = 1.25
#: Interval at which the append-only file is rewritten while the disk is nearly full.
COMPACT_SECONDS = 30.0

_REASONS: dict[ServerState, str] = {
    "ended": "private store died; restarting it",
    "lost": "private store lost its socket; restarting it",
    "silent": "private store hangs; restarting it",
}


class ServerWatcher:
    """Thread that watches a started server. It is a context manager: the thread runs within the block.

    A restart loads the data again, so sessions continue. While the disk is nearly full, the server refuses writes as if
    its memory were full: its append-only file, which it must never fail to write, stays whole.
    """

    def __init__(self, server: EmbeddedServer, min_free_bytes: int | None = None) -> None:
        self._server = server
        self._min_free_bytes = min_free_bytes
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store watcher", daemon=True)
        self._ping_at = 0.0
        self._silent_pings = 0
        self._failure = ""
        self._disk_low = False
        self._compact_at = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping.set()
        self._server.interrupt()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            try:
                self._check_server(time.monotonic())
                if not self._silent_pings:
                    self._check_disk(time.monotonic())
                self._failure = ""
            except (RedisError, OSError) as error:
                if str(error) != self._failure:
                    self._failure = str(error)
                    log.warning("private store cannot be watched", extra={"reason": self._failure})

    def _check_server(self, now: float) -> None:
        if now < self._ping_at and self._server.alive():
            return
        state = self._server.state()
        self._silent_pings = self._silent_pings + 1 if state == "silent" else 0
        # The next ping of a silent server follows at once, because each takes its time.
        self._ping_at = now + (0.0 if self._silent_pings else PING_SECONDS)
        if state in ("ended", "lost") or self._silent_pings >= MAX_SILENT_PINGS:
            self._restart(_REASONS[state])

    def _restart(self, reason: str) -> None:
        log.error(reason)
        self._silent_pings = 0
        try:
            self._server.replace()
        except SettingsError as error:
            if not self._stopping.is_set():
                # Predictions without a session are still served.
                log.error("private store failed to restart", extra={"reason": str(error)})
                self._stopping.wait(RETRY_SECONDS)
        else:
            # The limit of the memory is that of a new server.
            self._disk_low = False

    def _check_disk(self, now: float) -> None:
        usage = shutil.disk_usage(self._server.data)
        minimum = self._min_free_bytes
        if minimum is None:
            minimum = min(MIN_FREE_BYTES, int(MIN_FREE_FRACTION * usage.total))
        if not self._disk_low and usage.free < minimum:
            self._server.refuse_writes(True)
            self._disk_low, self._compact_at = True, now
            extra = {"free_bytes": usage.free, "expected_bytes": minimum}
            log.error("disk of the private store is nearly full; refusing writes", extra=extra)
        elif self._disk_low and usage.free >= minimum * RESUME_FACTOR:
            self._server.refuse_writes(False)
            self._disk_low = False
            log.warning("disk of the private store has space again; accepting writes")
        if self._disk_low and now >= self._compact_at:
            self._compact_at = now + COMPACT_SECONDS
            with contextlib.suppress(RedisError):  # a rewrite is in progress
                self._server.compact()
