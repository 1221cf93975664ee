"""Admission of the frames of a stream, such as a WebSocket: each is bounded as a request is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from service.application.access.principal import Principal
from service.application.deadlines import Deadline
from service.application.limits.admission import Permit
from service.application.limits.request_bounds import RequestBounds
from service.application.ports import Clock
from service.application.request_context import RequestContext
from service.domain.errors import Overloaded, RateLimited


@dataclass(frozen=True, slots=True)
class AdmittedFrame:
    """A frame that holds a permit, and memory, until it is answered."""

    context: RequestContext
    permit: Permit

    def release(self, *, answered: bool) -> None:
        """Give back what the frame holds. Only frames answered in time count for the estimate of throughput."""
        self.context.cost.release()
        self.permit.release(answered=answered)


class FrameAdmission:
    """Admission of the frames of one client on one WebSocket.

    `handshake` is the permit of the request that has opened the WebSocket. `seconds` is the time limit of a frame, and
    `client_seconds` the one that the client has set with the handshake.
    """

    def __init__(
        self,
        client: str,
        principal: Principal,
        seconds: float,
        client_seconds: float | None,
        *,
        handshake: Permit,
        clock: Clock,
        bounds: RequestBounds,
    ) -> None:
        self.client = client
        self.principal = principal
        self._seconds = seconds
        self._client_seconds = client_seconds
        self._handshake = handshake
        self._clock = clock
        self._bounds = bounds

    def open(self) -> None:
        """Give the permit of the handshake back: an open WebSocket needs none, its frames do."""
        self._handshake.release()

    async def start(self, size: int) -> None:
        """Wait until a frame of `size` bytes may be read: mostly not at all. Clients start their frames in turn."""
        await self._bounds.quota.start(self.client, size)

    async def admit_behind(
        self, size: int, is_alone: Callable[[], bool], next_answer: Callable[[], Awaitable[None]]
    ) -> AdmittedFrame:
        """Admit a frame. While there is no room, it waits for answers to the frames before it, until it `is_alone`.

        Raises as `admit`.
        """
        while True:
            try:
                return await self.admit(size)
            except (RateLimited, Overloaded):
                if is_alone():
                    raise
                await next_answer()

    async def admit(self, size: int) -> AdmittedFrame:
        """Admit a frame of `size` bytes.

        Raises InvalidApiKey, ShuttingDown, Overloaded and RateLimited, and holds nothing then.
        """
        self.principal.require_valid()
        permit = self._bounds.admission.acquire(self.client, self._client_seconds)
        cost = self._bounds.budget.request(self.client)
        try:
            rates = self._bounds.rates_of(self.principal.tenant)  # they may have changed since the handshake
            if rates is not None:
                await rates.admit()
                cost.charge = rates.charge
            cost.add_memory(size)
        except BaseException:
            cost.release()
            permit.release(answered=False)
            raise
        deadline = Deadline.after(self._clock, self._seconds)
        context = RequestContext(self.principal.tenant, deadline, cost, principal=self.principal)
        return AdmittedFrame(context, permit)
