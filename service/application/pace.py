"""How fast a worker gets on while it is busy. Plain code, time is an argument."""

from dataclasses import dataclass

#: How long is counted, in seconds: long enough for some forward passes.
WINDOW_SECONDS = 0.25
#: What the windows before still count beside the last one: answers come in bursts, a batch at a time.
MEMORY = 0.5
#: With fewer requests under way the worker could do more than it is asked to: that tells nothing of what it can.
BUSY = 8


@dataclass(slots=True)
class Pace:
    """Counts the requests that end in windows of time throughout which the worker was busy."""

    _rate: float | None = None
    _since: float | None = None
    _ended: int = 0

    def ended(self, under_way: int, now: float, *, answered: bool) -> None:
        """Tell of a request's end, `now` in seconds, with so many left. Only the answered ones count."""
        if under_way < BUSY:
            self._rate = self._since = None
        elif self._since is None:
            self._since, self._ended = now, 0
        else:
            self._ended += answered
            if now - self._since >= WINDOW_SECONDS:
                found = max(1, self._ended) / (now - self._since)
                self._rate = found if self._rate is None else MEMORY * self._rate + (1 - MEMORY) * found
                self._since, self._ended = now, 0

    def wait(self, under_way: int) -> float:
        """Return how many seconds one more request waits for the others; 0 where that is not known."""
        return 0.0 if self._rate is None else under_way / self._rate
