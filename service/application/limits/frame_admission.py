"""Admission of the frames of a WebSocket: each is bounded as a request is."""

from dataclasses import dataclass

from service.application.deadlines import Deadline
from service.application.limits.admission import Admission, Permit
from service.application.limits.rate_limits import Rates
from service.application.limits.request_cost import CostBudget
from service.application.limits.turn_quota import TurnQuota
from service.application.ports import Clock
from service.application.request_context import RequestContext


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
        tenant: str,
        seconds: float,
        client_seconds: float | None,
        *,
        handshake: Permit,
        clock: Clock,
        admission: Admission,
        budget: CostBudget,
        quota: TurnQuota,
        rates: Rates | None,
    ) -> None:
        self.client = client
        self._tenant = tenant
        self._seconds = seconds
        self._client_seconds = client_seconds
        self._handshake = handshake
        self._clock = clock
        self._admission = admission
        self._budget = budget
        self._quota = quota
        self._rates = rates

    def open(self) -> None:
        """Give the permit of the handshake back: an open WebSocket needs none, its frames do."""
        self._handshake.release()

    async def start(self, size: int) -> None:
        """Wait until a frame of `size` bytes may be read: mostly not at all. Clients start their frames in turn."""
        await self._quota.start(self.client, size)

    async def admit(self, size: int) -> AdmittedFrame:
        """Admit a frame of `size` bytes. Raises ShuttingDown, Overloaded and RateLimited, and holds nothing then."""
        permit, cost = self._admission.acquire(self.client, self._client_seconds), self._budget.request(self.client)
        try:
            if self._rates is not None:
                await self._rates.admit()
                cost.charge = self._rates.charge
            cost.add_memory(size)
        except BaseException:
            cost.release()
            permit.release(answered=False)
            raise
        deadline = Deadline.after(self._clock, self._seconds)
        return AdmittedFrame(RequestContext(self._tenant, deadline, cost), permit)
