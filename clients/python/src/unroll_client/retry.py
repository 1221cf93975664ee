"""Repetition of requests that failed for a while."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from unroll_client.commands import Sleep
from unroll_client.errors import ConnectionFailed, UnrollError
from unroll_client.flow import Flow, execute
from unroll_client.transport import Http, Request, Response, Send

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and for how long a request is repeated after temporary failures.

    The delays double from `initial_delay` to `max_delay` and are jittered by up to a half. A delay is never shorter
    than the service's Retry-After. All times are in seconds. `max_attempts=1` turns repetition off.
    """

    max_attempts: int = 10
    max_seconds: float = 60.0
    initial_delay: float = 0.1
    max_delay: float = 5.0

    def delay(self, failures: int, retry_after: float | None) -> float:
        """Return the delay after so many failed attempts."""
        backoff = min(self.max_delay, self.initial_delay * 2.0 ** min(failures - 1, 30))
        jittered = backoff * random.uniform(0.5, 1.0)
        return jittered if retry_after is None else max(jittered, retry_after + jittered / 2)


@dataclass(slots=True)
class Attempts:
    """The attempts at one request.

    `in_doubt` is true once an attempt may have taken effect although it had no answer.
    """

    policy: RetryPolicy
    in_doubt: bool = False
    failures: int = 0
    started: float = field(default_factory=time.monotonic)

    def fail(self, error: UnrollError) -> None:
        """Count a failed attempt."""
        self.failures += 1
        refused = error.applied is None and error.status is not None and 400 <= error.status < 500
        self.in_doubt |= not refused and error.applied != "no"

    def delay(self, error: UnrollError) -> float | None:
        """Return the seconds until the next attempt, or None if there should be none."""
        if not error.temporary or self.failures >= self.policy.max_attempts:
            return None
        delay = self.policy.delay(self.failures, error.retry_after)
        return delay if time.monotonic() + delay <= self.started + self.policy.max_seconds else None


@dataclass(frozen=True, slots=True)
class Service:
    """The service as flows see it: its HTTP clients and the policy of repetitions."""

    http: Http
    retry: RetryPolicy

    def request(self, request: Request, parse: Callable[[Response], T]) -> Flow[T]:
        """Send a request until it succeeds or fails for good, and return the parsed answer.

        Only for requests that may be repeated without harm. Raises UnrollError.
        """
        return (yield from self.attempt(request, parse, Attempts(self.retry)))

    def attempt(self, request: Request, parse: Callable[[Response], T], attempts: Attempts) -> Flow[T]:
        """Like `request`, and report the failures to `attempts`."""
        while True:
            try:
                return parse((yield from execute(Send(self.http, request))))
            except UnrollError as error:
                attempts.fail(error)
                delay = attempts.delay(error)
                if delay is None:
                    raise
            yield from execute(Sleep(delay))


def parse_json(response: Response) -> object:
    """Return the JSON of an answer."""
    return response.json()


def unexpected(problem: str) -> ConnectionFailed:
    """Return the error of an answer that does not belong to its request."""
    return ConnectionFailed(f"the answer does not belong to this request: {problem}", applied="unknown")
