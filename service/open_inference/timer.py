"""Times of the parts of one inference."""

from service.application.ports import Clock
from service.application.request_context import RequestContext
from service.domain.inference_statistics import PARTS, InferenceTimes, Part


class Timer:
    """Timer of an inference, from its admission on."""

    def __init__(self, clock: Clock, context: RequestContext) -> None:
        self._clock = clock
        self._admitted = context.deadline.at - context.deadline.budget
        self._last = self._admitted
        self._parts: dict[Part, float] = dict.fromkeys(PARTS, 0.0)

    def lap(self, part: Part) -> None:
        """Add the time since the lap before to a part."""
        now = self._clock.monotonic()
        self._parts[part] += now - self._last
        self._last = now

    @property
    def total(self) -> float:
        """The seconds since the admission."""
        return self._clock.monotonic() - self._admitted

    def times(self) -> InferenceTimes:
        """Return the times of an inference that has ended."""
        return InferenceTimes(**self._parts, total=self.total)
