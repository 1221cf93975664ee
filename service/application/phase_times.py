"""Times of the phases of one operation, for the line of its request in the log."""

from collections.abc import Callable

from service.application.ports import Trace


class PhaseTimes:
    """Trace that measures how long each phase takes, beside `trace`, if the request has one.

    `seconds` has the times by the names of the phases; those of a phase that comes again are added up.
    """

    __slots__ = ("_began", "_monotonic", "_phase", "_trace", "seconds")

    def __init__(self, monotonic: Callable[[], float], trace: Trace | None = None) -> None:
        self._monotonic = monotonic
        self._trace = trace
        self._phase = ""
        self._began = 0.0
        self.seconds: dict[str, float] = {}

    def begin(self, phase: str) -> None:
        """Begin a phase, and end the one before it."""
        now = self._monotonic()
        self._add(now)
        self._phase, self._began = phase, now
        if self._trace is not None:
            self._trace.begin(phase)

    def end(self) -> None:
        """End the last phase. May be repeated."""
        self._add(self._monotonic())
        self._phase = ""
        if self._trace is not None:
            self._trace.end()

    def milliseconds(self) -> dict[str, float]:
        """Return the times so far in milliseconds."""
        return {phase: round(seconds * 1000, 3) for phase, seconds in self.seconds.items()}

    def _add(self, now: float) -> None:
        if self._phase:
            self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + now - self._began
