"""Long computations let the event loop run between their parts."""

import asyncio
import json
import time
from functools import partial

import pytest

from service.application import time_slices
from service.application.sessions.serializers import encode, encode_with_list
from service.application.time_slices import TimeSlices, TurnSlices
from service.domain.operations import Json

pytestmark = pytest.mark.anyio


async def turns_during(parts: int) -> int:
    """Return how many turns of the event loop pass while a computation of so many parts runs."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    await asyncio.sleep(0)
    slices = TimeSlices()
    for _ in range(parts):
        await slices.pause()
    counting.cancel()
    return turns


async def test_a_computation_whose_time_slice_is_over_lets_the_loop_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_slices, "SLICE_SECONDS", 0.0)
    assert await turns_during(50) >= 49
    monkeypatch.setattr(time_slices, "SLICE_SECONDS", 60.0)
    assert await turns_during(50) <= 1


@pytest.mark.parametrize("items", [[], [1.5], [{"text": '"outputs":[]'}, None, ["é", 2]]])
async def test_an_answer_encoded_in_parts_is_the_same_as_at_once(items: list[Json]) -> None:
    answer: dict[str, Json] = {"model": 'a"outputs":[]', "outputs": items, "usage": {"timesteps": 3}}
    encoded = await encode_with_list(answer, "outputs", items, "alice", TurnSlices())
    assert encoded == encode(answer)
    assert json.loads(encoded) == answer


async def test_computations_of_many_requests_share_the_time_of_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    slices, parts = TurnSlices(), list[int]()

    async def parts_after_a_turn() -> int:
        parts.clear()
        tasks = [asyncio.create_task(slices.run("alice", partial(parts.append, part))) for part in range(20)]
        await asyncio.sleep(0)
        counted = len(parts)
        monkeypatch.setattr(time_slices, "TURN_SECONDS", 60.0)
        await asyncio.gather(*tasks)
        assert parts == [*range(20)]
        return counted

    monkeypatch.setattr(time_slices, "TURN_SECONDS", 0.0)
    assert await parts_after_a_turn() == 1
    assert await parts_after_a_turn() == 20


async def test_clients_get_their_time_in_turn_and_what_is_given_up_takes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_slices, "TURN_SECONDS", 0.0)
    slices, parts = TurnSlices(), list[str]()
    names = ["first", *(f"alice {number}" for number in range(4)), "bob 0", "bob 1"]
    tasks = [asyncio.create_task(slices.run(name[:3], partial(parts.append, name))) for name in names]
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert parts == ["first", "alice 0", "bob 0", "bob 1", "alice 2", "alice 3"]


async def test_a_part_that_fails_fails_for_its_request_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_slices, "TURN_SECONDS", 0.0)
    slices = TurnSlices()
    outcomes = await asyncio.gather(
        *(slices.run("alice", partial(int, text)) for text in ("1", "one", "2", "two")), return_exceptions=True
    )
    assert [outcome if isinstance(outcome, int) else type(outcome) for outcome in outcomes] == [
        1, ValueError, 2, ValueError,
    ]  # fmt: skip


async def test_beside_other_clients_a_client_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = True
    slices, seconds = TurnSlices(lambda: shared), 0.01

    async def elapsed(client: str) -> float:
        started = time.monotonic()
        for _ in range(4):
            await slices.run(client, partial(time.sleep, seconds))
        return time.monotonic() - started

    assert await elapsed("alice") >= 4 * seconds + 3 * time_slices.REST * seconds
    monkeypatch.setattr(time_slices, "REST", 1e9)
    await asyncio.sleep(0)
    resting = asyncio.create_task(elapsed("alice"))
    await asyncio.sleep(2 * seconds)
    shared = False
    assert await elapsed("bob") >= 4 * seconds
    assert not resting.done()
    resting.cancel()
