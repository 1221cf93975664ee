"""How many requests may be under way, and which of them: permits are taken at the door, before anything is parsed."""

import time
from collections.abc import Callable

from service.application.throughput import ThroughputEstimator
from service.domain.errors import Overloaded, ShuttingDown

#: How much of the time that a client has may go by in waiting: answers that come too late are work for nobody.
MAX_WAIT_FRACTION = 0.5


class Admission:
    """Counts the requests under way. Open at first; a worker that is told to go drains, then closes.

    `limit` is the most of them; `monotonic` gives seconds.
    """

    def __init__(self, limit: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.under_way = 0
        self.draining = False
        self.closed = False
        self._monotonic = monotonic
        self._pace = ThroughputEstimator()

    def enter(self, patience: float | None = None, *, opens_session: bool = False) -> None:
        """Take a permit; `patience` are the seconds that the client says it has.

        Raises ShuttingDown, and Overloaded for lack of room or where there is no answer in that time. Then there is
        nothing to give back.
        """
        if self.closed or (self.draining and opens_session):
            raise ShuttingDown("this worker is being stopped; another one can answer", applied="no")
        if self.under_way >= self.limit:
            raise Overloaded(f"{self.limit} requests are under way, as many as this worker admits", applied="no")
        if patience is not None:
            self._foresee(patience)
        self.under_way += 1

    def _foresee(self, patience: float) -> None:
        wait = self._pace.wait(self.under_way)
        if wait > patience * MAX_WAIT_FRACTION:
            self._pace.refused()
            raise Overloaded(
                f"{self.under_way} requests are under way, which take about {wait:.1f} s: too long for the "
                f"{patience:g} s of X-Request-Timeout-Ms",
                applied="no",
            )

    def leave(self, *, answered: bool = True) -> None:
        """Give the permit back. Only what was answered, and not too late, tells how fast the worker is."""
        self.under_way -= 1
        self._pace.ended(self.under_way, self._monotonic(), answered=answered)

    def drain(self) -> None:
        """Open no session from now on; requests of those that are open, and predictions, still enter."""
        self.draining = True

    def close(self) -> None:
        """Admit nobody from now on."""
        self.draining = self.closed = True
