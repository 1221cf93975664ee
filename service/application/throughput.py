"""How fast a worker gets on while it is busy. Plain code, time is an argument."""

from dataclasses import dataclass

#: How long is counted, in seconds: long enough for some forward passes.
WINDOW_SECONDS = 0.25
#: What the windows before still count beside the last one: answers come in bursts, a batch at a time.
MEMORY = 0.75
#: With fewer requests under way the worker could do more than it is asked to: that tells nothing of what it can.
BUSY = 8


@dataclass(slots=True)
class ThroughputEstimator:
    """Counts the requests that end in windows of time throughout which the worker was busy."""

    _seconds_each: float = 0.0
    _since: float | None = None
    _answered: int = 0
    _refused: bool = False

    def wait(self, under_way: int) -> float:
        """Return how many seconds one more request waits for the others; 0 where that is not known."""
        return under_way * self._seconds_each

    def refused(self) -> None:
        """Tell of a request that was not admitted for its wait."""
        self._refused = True

    def ended(self, under_way: int, now: float, *, answered: bool) -> None:
        """Tell of a request's end, `now` in seconds, with so many left. Only the answered ones count."""
        if under_way < BUSY:
            self._doubt()
        elif self._since is None:
            self._since, self._answered = now, 0
        else:
            self._answered += answered
            if now - self._since >= WINDOW_SECONDS:
                self._learn((now - self._since) / max(1, self._answered))
                self._since, self._answered = now, 0

    def _learn(self, seconds_each: float) -> None:
        memory = MEMORY if self._seconds_each else 0.0
        self._seconds_each = memory * self._seconds_each + (1 - memory) * seconds_each

    def _doubt(self) -> None:
        """Believe in more where others were refused and yet there was little to do: else that is never found out."""
        self._since = None
        if self._refused:
            self._refused = False
            self._seconds_each /= 2
