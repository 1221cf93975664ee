"""The cost of a request: what it may take by itself, and beside others."""

import pytest

from service.application.limits.request_cost import FREE_BYTES, CostBudget, CostLimits
from service.domain.cost import Cost
from service.domain.errors import InputTooLong, InvalidRequest, Overloaded, RateLimited, UnrollError

MEGABYTE = 1_048_576


def budget(timesteps: int = 100, numbers: int = 1000, memory: int = 9 * MEGABYTE) -> CostBudget:
    return CostBudget(CostLimits(timesteps, numbers, memory))


def refusal(kind: type[UnrollError], budget: CostBudget, client: str, *costs: Cost) -> str:
    request = budget.request(client)
    for cost in costs[:-1]:
        request.add(cost)
    with pytest.raises(kind) as refused:
        request.add(costs[-1])
    request.release()
    assert refused.value.applied == "no"
    return refused.value.message


def test_the_timesteps_of_all_operations_of_a_request_are_bounded_together() -> None:
    message = refusal(InputTooLong, budget(), "a", Cost(60, 1, 1), Cost(41, 1, 1))
    assert "101 timesteps" in message
    assert "at most 100 (UNROLL_MAX_REQUEST_TIMESTEPS)" in message


def test_the_numbers_of_an_answer_are_bounded_over_all_its_outputs() -> None:
    message = refusal(InvalidRequest, budget(), "a", Cost(1, 999, 1), Cost(1, 2, 1))
    assert "1001 numbers" in message
    assert "at most 1000 (UNROLL_MAX_ANSWER_NUMBERS)" in message


def test_a_refused_operation_leaves_the_rest_of_its_request_as_it_was() -> None:
    request = budget().request("a")
    request.add(Cost(60, 1, 1))
    with pytest.raises(InputTooLong):
        request.add(Cost(60, 1, 1))
    request.add(Cost(40, 1, 1))


def test_what_can_never_fit_is_told_so() -> None:
    message = refusal(InvalidRequest, budget(), "a", Cost(1, 1, 10 * MEGABYTE))
    assert str(10 * MEGABYTE) in message
    assert "UNROLL_MAX_PENDING_BYTES" in message


def test_what_fits_later_is_told_so_and_fits_then() -> None:
    shared = budget()
    request = shared.request("a")
    request.add(Cost(1, 1, 7 * MEGABYTE))
    assert "UNROLL_MAX_PENDING_BYTES" in refusal(Overloaded, shared, "a", Cost(1, 1, 2 * MEGABYTE))
    request.release()
    shared.request("a").add(Cost(1, 1, 2 * MEGABYTE))


def test_a_client_that_holds_its_share_leaves_room_for_others() -> None:
    shared = budget()
    shared.request("a").add(Cost(1, 1, 7 * MEGABYTE))
    other = shared.request("b")
    other.add(Cost(1, 1, MEGABYTE))
    assert "your requests under way hold" in refusal(RateLimited, shared, "a", Cost(1, 1, MEGABYTE))
    other.add(Cost(1, 1, MEGABYTE // 2))


def test_small_requests_are_not_accounted() -> None:
    shared = budget()
    request = shared.request("a")
    for _ in range(4):
        request.add(Cost(1, 1, FREE_BYTES // 4))
    assert shared.memory.used == 0
    request.add_memory(1)
    assert shared.memory.used == FREE_BYTES + 1
    request.release()
    assert shared.memory.used == 0
