"""Estimate of a busy worker's throughput. Times are arguments."""

from dataclasses import dataclass

#: Length of a window in seconds, long enough for some forward passes.
WINDOW_SECONDS = 0.25
#: Weight of the earlier windows beside the last one. Answers come in bursts, a batch at a time.
SMOOTHING = 0.75
#: With fewer requests in progress the worker may have spare capacity, so they say nothing about its throughput.
MIN_BUSY_REQUESTS = 8


@dataclass(slots=True)
class ThroughputEstimator:
    """Estimator over windows of time throughout which the worker was busy."""

    _seconds_each: float = 0.0
    _since: float | None = None
    _answered: int = 0
    _refused: bool = False

    def wait(self, under_way: int) -> float:
        """Return the estimated waiting time in seconds of one more request, or 0 if there is no estimate."""
        return under_way * self._seconds_each

    def refused(self) -> None:
        """Record a request that was refused for its estimated waiting time."""
        self._refused = True

    def ended(self, under_way: int, now: float, *, answered: bool) -> None:
        """Record the end of a request at `now` in seconds, with the number still in progress. Only answers count."""
        if under_way < MIN_BUSY_REQUESTS:
            self._reset_window()
        elif self._since is None:
            self._since, self._answered = now, 0
        else:
            self._answered += answered
            if now - self._since >= WINDOW_SECONDS:
                self._update((now - self._since) / max(1, self._answered))
                self._since, self._answered = now, 0

    def _update(self, seconds_each: float) -> None:
        smoothing = SMOOTHING if self._seconds_each else 0.0
        self._seconds_each = smoothing * self._seconds_each + (1 - smoothing) * seconds_each

    def _reset_window(self) -> None:
        """Halve the estimated time per request if requests were refused although the worker had little to do."""
        self._since = None
        if self._refused:
            self._refused = False
            self._seconds_each /= 2
