"""What the store tells of itself."""

from typing import Protocol


class StoreObserver(Protocol):
    """The store's part of the application's Observer."""

    def store_call(self, operation: str, seconds: float) -> None:
        """An operation ended, well or badly, after `seconds`."""

    def store_error(self, code: str) -> None:
        """An operation failed with the error of this code."""

    def store_up(self, up: bool) -> None:
        """The store answered, or could not be reached."""

    def session_cache(self, outcome: str) -> None:
        """A record was needed: "hit", held here; "stale", a hit that was found out of date; "miss", read."""

    def session_ended(self, reason: str, count: int = 1) -> None:
        """So many sessions were found expired."""
