"""Admission: the bound on concurrent requests, and each client's share of them."""

import math
import time
from collections.abc import Callable

from service.application.limits.throughput import ThroughputEstimator
from service.domain.errors import Overloaded, ShuttingDown, UnrollError
from service.domain.shares import Shares

#: Maximum part of a client's timeout that a request may wait. The rest is for its own work.
MAX_WAIT_FRACTION = 0.5
#: How long clients count as several after two of them had requests under way: many pause between their requests.
SHARED_SECONDS = 1.0


class Permit:
    """Permit of one request. While its body arrives, it counts among the unfinished bodies; then among those that run.

    So bodies that never arrive take no place from requests that run.
    """

    __slots__ = ("_admission", "_client", "_running")

    def __init__(self, admission: "Admission", client: str, *, running: bool) -> None:
        self._admission = admission
        self._client = client
        self._running: bool | None = running

    def run(self) -> None:
        """Begin to run: the body is complete. Raises RateLimited and Overloaded, and holds no permit then."""
        if self._running is False:
            self._running = None
            self._admission.bodies.release(self._client)
            self._admission.start(self._client)
            self._running = True

    def release(self, *, answered: bool = True) -> None:
        """Release the permit. Only requests answered in time count for the estimate of throughput."""
        running, self._running = self._running, None
        if running:
            self._admission.end(self._client, answered=answered)
        elif running is False:
            self._admission.bodies.release(self._client)


class Admission:
    """Permits of the requests in progress. It is open at first; a stopping worker drains it, then closes it.

    `limit` is their maximum number, and again that of the requests whose body is not complete; clients share both, see
    `Shares`. `monotonic` returns seconds.
    """

    def __init__(self, limit: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.draining = False
        self.closed = False
        self.bodies = Shares(limit)
        self._permits = Shares(limit)
        self._monotonic = monotonic
        self._throughput = ThroughputEstimator()
        self._shared_until = -math.inf

    def is_shared(self) -> bool:
        """Return whether several clients have requests under way, or had a moment ago."""
        return self._monotonic() < self._shared_until

    @property
    def under_way(self) -> int:
        """The number of requests that run."""
        return self._permits.used

    def acquire(
        self, client: str, timeout: float | None = None, *, opens_session: bool = False, has_body: bool = False
    ) -> Permit:
        """Return a permit for a request of `client`; `timeout` is the time in seconds that it allows for the answer.

        With `has_body`, the permit is for the arrival of the body, and `Permit.run` begins to run the request. It is
        refused at once where it could not run now. `client` is a tenant, or an address if the service has no keys.

        Raises ShuttingDown; Overloaded if the worker is full or the estimated wait is too long; RateLimited if the
        client has its share of requests while other clients have some. A refused request holds no permit.
        """
        if self.closed or (self.draining and opens_session):
            raise ShuttingDown("this worker is being stopped; another one can answer", applied="no")
        if timeout is not None:
            self._check_wait(client, timeout)
        if not has_body:
            self.start(client)
        elif not self._permits.grants(client):
            raise _refusal(self._permits, client, "requests are under way")
        elif not self.bodies.acquire(client):
            raise _refusal(self.bodies, client, "request bodies are arriving")
        return Permit(self, client, running=not has_body)

    def start(self, client: str) -> None:
        """Count a request that runs. Raises RateLimited, Overloaded."""
        if not self._permits.acquire(client):
            raise _refusal(self._permits, client, "requests are under way")
        if self._permits.clients > 1:
            self._shared_until = self._monotonic() + SHARED_SECONDS

    def end(self, client: str, *, answered: bool) -> None:
        """Count the end of a request that ran."""
        self._permits.release(client)
        self._throughput.ended(self.under_way, self._monotonic(), answered=answered)

    def _check_wait(self, client: str, timeout: float) -> None:
        # Clients are served in turn, so that those with many requests wait longer.
        ahead = min(self.under_way, self._permits.held(client) * self._permits.clients)
        wait = self._throughput.wait(ahead)
        if wait > timeout * MAX_WAIT_FRACTION:
            self._throughput.refused()
            raise Overloaded(
                f"{self.under_way} requests are under way, which take about {wait:.1f} s: too long for the "
                f"{timeout:g} s of X-Request-Timeout-Ms",
                applied="no",
            )

    def drain(self) -> None:
        """Refuse new sessions from now on; requests of open sessions and predictions are still admitted."""
        self.draining = True

    def close(self) -> None:
        """Refuse all requests from now on."""
        self.draining = self.closed = True


def _refusal(shares: Shares, client: str, subject: str) -> UnrollError:
    return shares.refusal(client, subject, "UNROLL_MAX_REQUESTS", "this worker")
