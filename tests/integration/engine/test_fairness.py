"""What one client asks of the engine does not keep another one waiting, counted in forward passes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service.domain.errors import Overloaded, RateLimited
from service.domain.models import ModelVersion
from service.domain.operations import Generate, GenerateOptions, Operation, Predict, SeriesInput, TextInput
from service.engine.loaded_models import ModelRegistry
from tests.folders import load_registry, write_language_model
from tests.forecast_folders import write_forecaster
from tests.integration.engine.running_engine import RunningEngine
from tests.translation_folders import write_encoder_decoder
from tests.translation_requests import translate_options, translate_request

STEP = Predict(TextInput(ids=(5,)))
LOADS: dict[str, Operation] = {
    "one": Predict(TextInput(ids=(5,))),
    "words": Generate(None, GenerateOptions(1000, temperature=0)),
    "long": Predict(TextInput(ids=(5,) * 1000)),
    "mt": translate_request("Where is Tom? " * 20, translate_options(16, 40)),
    "sensor": Predict(SeriesInput(((1.0,),) * 30, flat=True)),
}
MODELS = {"one": "words", "long": "words"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> ModelRegistry:
    models = tmp_path_factory.mktemp("models")
    write_language_model(models, name="words")
    write_encoder_decoder(models, name="mt")
    write_forecaster(models, name="sensor", frequency=None)
    return load_registry(models)


def version(running: RunningEngine, name: str) -> ModelVersion:
    return next(version for version in running.engine.versions() if version.name == name)


@asynccontextmanager
async def flooded(running: RunningEngine, name: str, clients: int = 1) -> AsyncIterator[None]:
    """Keep 60 operations of each flooding client under way during the block."""
    model, operation = version(running, MODELS.get(name, name)), LOADS[name]

    async def ask_again_and_again(client: str) -> None:
        while True:
            await running.run(model, operation, client=client)

    tasks = [asyncio.create_task(ask_again_and_again(f"flood {index % clients}")) for index in range(60 * clients)]
    before = running.passes()
    while running.passes() < before + 3:  # noqa: ASYNC110 - the engine has no event for it
        await asyncio.sleep(0)
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def passes_of_a_step(running: RunningEngine) -> int:
    """Return how many forward passes end until a step of another client is answered."""
    before = running.passes()
    await running.run(version(running, "words"), STEP, client="victim")
    return running.passes() - before


@pytest.mark.parametrize("name", LOADS)
async def test_a_step_joins_the_next_pass_whatever_another_client_asks(registry: ModelRegistry, name: str) -> None:
    async with RunningEngine(registry) as running, flooded(running, name):
        assert max([await passes_of_a_step(running) for _ in range(10)]) <= 2


async def test_a_step_waits_for_a_pass_of_each_model_at_the_most(registry: ModelRegistry) -> None:
    async with RunningEngine(registry) as running, flooded(running, "words"), flooded(running, "mt", clients=3):
        assert max([await passes_of_a_step(running) for _ in range(10)]) <= 4


async def test_a_client_that_fills_the_queue_is_refused_before_others(registry: ModelRegistry) -> None:
    async with RunningEngine(registry, max_queue=18) as running:
        model = version(running, "words")
        flood = [asyncio.create_task(running.run(model, LOADS["words"], client="flood")) for _ in range(30)]
        await asyncio.sleep(0)
        refused = [task for task in flood if task.done()]
        assert len(refused) == 14
        assert all(isinstance(task.exception(), Overloaded) for task in refused)
        victim = asyncio.create_task(running.run(model, LOADS["words"], client="victim"))
        await asyncio.sleep(0)
        with pytest.raises(RateLimited, match="UNROLL_MAX_QUEUE"):
            await running.run(model, STEP, client="flood")
        assert not victim.done()
        for task in [*flood, victim]:
            task.cancel()
