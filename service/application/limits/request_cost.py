"""Bounds on the cost of requests: of each by itself, and of all that a worker has under way."""

from collections.abc import Callable
from dataclasses import dataclass

from service.domain.cost import Cost
from service.domain.errors import InputTooLong, InvalidRequest, Overloaded, RateLimited, UnrollError
from service.domain.shares import Shares

#: Memory of a request that is not accounted: there is room for it beside every request that is admitted.
FREE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class CostLimits:
    """The most timesteps and numbers of an answer of one request, and the most bytes of all requests under way."""

    timesteps: int = 4_194_304
    numbers: int = 1_000_000
    memory: int = 536_870_912


class CostBudget:
    """The memory that the requests under way in a worker share, and the limits of each of them."""

    def __init__(self, limits: CostLimits) -> None:
        self.limits = limits
        self.memory = Shares(limits.memory)

    def request(self, client: str) -> "RequestCost":
        """Return the account of a new request. `client` is its tenant, or its address if the service has no keys."""
        return RequestCost(self, client)


class RequestCost:
    """Account of one request: the sum of what its operations cost, and the memory that it holds until `release`.

    `charge` is called with the timesteps of each operation, if the tenant's cost per second is limited.
    """

    __slots__ = ("_accounted", "_budget", "_memory", "_numbers", "_timesteps", "charge", "client")

    def __init__(self, budget: CostBudget, client: str) -> None:
        self.client = client
        self.charge: Callable[[float], None] | None = None
        self._budget = budget
        self._timesteps = self._numbers = self._memory = self._accounted = 0

    def add(self, cost: Cost) -> None:
        """Add the cost of an operation before it starts. The cost of a refused operation is not added.

        Raises InputTooLong and InvalidRequest for a request that can never fit, RateLimited or Overloaded for one that
        fits later.
        """
        limits = self._budget.limits
        timesteps, numbers = self._timesteps + cost.timesteps, self._numbers + cost.numbers
        if timesteps > limits.timesteps:
            raise InputTooLong(
                f"the request takes up to {timesteps} timesteps of the network (tokens or rows, times beams or sample "
                f"paths, over all its inputs): expected at most {limits.timesteps} (UNROLL_MAX_REQUEST_TIMESTEPS)",
                applied="no",
            )
        if numbers > limits.numbers:
            raise InvalidRequest(
                f"the answer has up to {numbers} numbers or tokens, over all inputs of the request: expected at most "
                f"{limits.numbers} (UNROLL_MAX_ANSWER_NUMBERS)",
                applied="no",
            )
        self.add_memory(cost.memory)
        self._timesteps, self._numbers = timesteps, numbers
        if self.charge is not None:
            self.charge(cost.timesteps)

    def add_memory(self, size: int) -> None:
        """Hold `size` more bytes until the request has ended. Raises as `add`."""
        memory = self._memory + size
        if memory - self._accounted > FREE_BYTES:
            shares, amount = self._budget.memory, memory - self._accounted
            if not shares.acquire(self.client, amount):
                raise self._refusal(memory)
            self._accounted = memory
        self._memory = memory

    def release(self) -> None:
        """Give the memory back: the request has ended."""
        if self._accounted:
            self._budget.memory.release(self.client, self._accounted)
            self._memory = self._accounted = 0

    def _refusal(self, memory: int) -> UnrollError:
        shares, setting = self._budget.memory, "UNROLL_MAX_PENDING_BYTES"
        if not shares.fits(memory):
            limit = shares.capacity
            return InvalidRequest(
                f"the request takes up to {memory} bytes of memory: expected at most a part of {limit} ({setting})",
                applied="no",
            )
        if shares.is_shared(self.client):
            return RateLimited(
                f"your requests under way hold {shares.held(self.client)} of {shares.capacity} bytes ({setting}), as "
                "much as your share beside other clients: wait for their answers",
                applied="no",
                retry_after=1,
            )
        return Overloaded(
            f"the requests under way hold {shares.used} of {shares.capacity} bytes ({setting}), as much as this worker "
            "admits",
            applied="no",
        )


#: Bounds for operations that no client requests.
UNBOUNDED = CostBudget(CostLimits(2**62, 2**62, 2**62))
