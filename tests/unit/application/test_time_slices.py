"""Long computations let the event loop run between their parts."""

import asyncio
import json

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
    encoded = await encode_with_list(answer, "outputs", items)
    assert encoded == encode(answer)
    assert json.loads(encoded) == answer


async def test_computations_of_many_requests_share_the_time_of_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    slices, parts = TurnSlices(), 0

    async def compute() -> None:
        nonlocal parts
        await slices.pause()
        parts += 1

    async def parts_after_a_turn() -> int:
        nonlocal parts
        parts = 0
        tasks = [asyncio.create_task(compute()) for _ in range(20)]
        await asyncio.sleep(0)
        counted = parts
        monkeypatch.setattr(time_slices, "TURN_SECONDS", 60.0)
        await asyncio.gather(*tasks)
        return counted

    monkeypatch.setattr(time_slices, "TURN_SECONDS", 0.0)
    assert await parts_after_a_turn() == 0
    assert await parts_after_a_turn() == 20
