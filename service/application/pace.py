"""How fast a worker gets on while it is busy. Plain code, time is an argument."""

from dataclasses import dataclass

#: How long is looked back, in seconds: long enough for several forward passes.
WINDOW_SECONDS = 0.5
#: With fewer requests under way the worker could do more than it is asked to: that tells nothing of what it can.
BUSY = 8


@dataclass(slots=True)
class Pace:
    """Counts the requests that end in a window of time throughout which the worker was busy."""

    _rate: float | None = None
    _since: float | None = None
    _ended: int = 0

    def ended(self, under_way: int, now: float) -> None:
        """Tell of a request's end, `now` in seconds, with so many left."""
        if under_way < BUSY:
            self._rate = self._since = None
        elif self._since is None:
            self._since, self._ended = now, 0
        else:
            self._ended += 1
            if now - self._since >= WINDOW_SECONDS:
                self._rate = self._ended / (now - self._since)
                self._since, self._ended = now, 0

    def wait(self, under_way: int) -> float:
        """Return how many seconds one more request waits for the others; 0 where that is not known."""
        return 0.0 if self._rate is None else under_way / self._rate
