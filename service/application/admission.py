"""Admission: the bound on concurrent requests. A request is admitted before its body is read."""

import time
from collections.abc import Callable

from service.application.throughput import ThroughputEstimator
from service.domain.errors import Overloaded, ShuttingDown

#: Maximum part of a client's timeout that a request may wait. The rest is for its own work.
MAX_WAIT_FRACTION = 0.5


class Admission:
    """Counter of the requests in progress. It is open at first; a stopping worker drains it, then closes it.

    `limit` is their maximum number; `monotonic` returns seconds.
    """

    def __init__(self, limit: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.under_way = 0
        self.draining = False
        self.closed = False
        self._monotonic = monotonic
        self._throughput = ThroughputEstimator()

    def acquire(self, timeout: float | None = None, *, opens_session: bool = False) -> None:
        """Acquire a permit for a request; `timeout` is the time in seconds that the client allows for its answer.

        Raises ShuttingDown, or Overloaded if the limit is reached or the estimated wait is too long. A refused
        request holds no permit and must not release one.
        """
        if self.closed or (self.draining and opens_session):
            raise ShuttingDown("this worker is being stopped; another one can answer", applied="no")
        if self.under_way >= self.limit:
            raise Overloaded(f"{self.limit} requests are under way, as many as this worker admits", applied="no")
        if timeout is not None:
            self._check_wait(timeout)
        self.under_way += 1

    def _check_wait(self, timeout: float) -> None:
        wait = self._throughput.wait(self.under_way)
        if wait > timeout * MAX_WAIT_FRACTION:
            self._throughput.refused()
            raise Overloaded(
                f"{self.under_way} requests are under way, which take about {wait:.1f} s: too long for the "
                f"{timeout:g} s of X-Request-Timeout-Ms",
                applied="no",
            )

    def release(self, *, answered: bool = True) -> None:
        """Release the permit of a request. Only requests answered in time count for the estimate of throughput."""
        self.under_way -= 1
        self._throughput.ended(self.under_way, self._monotonic(), answered=answered)

    def drain(self) -> None:
        """Refuse new sessions from now on; requests of open sessions and predictions are still admitted."""
        self.draining = True

    def close(self) -> None:
        """Refuse all requests from now on."""
        self.draining = self.closed = True
