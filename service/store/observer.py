"""Events that the store reports."""

from typing import Protocol


class StoreObserver(Protocol):
    """Receiver of the store's events, a part of the application's Observer."""

    def store_call(self, operation: str, seconds: float) -> None:
        """Record that an operation ended, with or without an error, after `seconds`."""

    def store_error(self, code: str) -> None:
        """Record that an operation failed with the error of this code."""

    def store_up(self, up: bool) -> None:
        """Record whether the store replied or could not be reached."""

    def store_memory(self, used: int, limit: int) -> None:
        """Record the bytes that the masters of the store use, and their limits together; 0 if one has none."""

    def store_persistence(self, append_only: bool, replicas: int) -> None:
        """Record whether all masters write their append-only file, and the replicas of the one with fewest."""

    def session_cache(self, outcome: str) -> None:
        """Record a use of the record cache: "hit", "miss", or "stale" for an earlier hit that proved outdated."""

    def session_ended(self, reason: str, count: int = 1) -> None:
        """Record that `count` sessions were found expired."""
