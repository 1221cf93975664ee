"""Progress of a client in reading its answers."""

from service.process.connections.limits import ConnectionLimits


class ReadingProgress:
    """Progress of a client in reading what was written to it; it is noted from time to time.

    `stalled_since` is the time since which the client has read nothing, although there is something to read.
    """

    __slots__ = ("_began_at", "_limits", "_read", "_read_before", "stalled_since")

    def __init__(self, limits: ConnectionLimits) -> None:
        self.stalled_since = 0.0
        self._limits = limits
        self._began_at: float | None = None  # None while there is nothing to read
        self._read_before = 0
        self._read = 0

    def note(self, now: float, read: int, unread: int) -> None:
        """Note how many bytes the client has read so far, and how many it has to read."""
        if not unread:
            self._began_at = None
        elif self._began_at is None:
            self._began_at = self.stalled_since = now
            self._read_before = read
        elif read != self._read:
            self.stalled_since = now
        self._read = read

    def is_too_slow(self, now: float) -> bool:
        """Return whether the client has read less than it must since there has been something to read."""
        if self._began_at is None:
            return False
        granted = self._limits.write_timeout_seconds
        granted += (self._read - self._read_before) / self._limits.min_bytes_per_second
        return now - self._began_at > granted
