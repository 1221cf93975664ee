"""The engine hands the tokens of a generation to a job that asks for them, pass by pass."""

import asyncio

import pytest

from service.application.token_stream import TokenBuffer
from service.domain.errors import InternalError, InvalidRequest
from service.domain.operations import Generate, GeneratedToken, GenerateOptions, Predict, TextInput
from service.engine.loaded_models import ModelRegistry
from service.tasks.next_word.generation import GenerateOperation
from tests.folders import load_registry, write_language_model
from tests.integration.engine.running_engine import RunningEngine

GENERATION = Generate(None, GenerateOptions(7, seed=1))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> ModelRegistry:
    models = tmp_path_factory.mktemp("models")
    write_language_model(models, name="one")
    return load_registry(models)


async def test_each_pass_hands_out_its_token_and_the_last_ones_come_before_the_outcome(registry: ModelRegistry) -> None:
    async with RunningEngine(registry) as running:
        buffer, growth = TokenBuffer(90.0), []
        run = asyncio.create_task(running.run(running.first, GENERATION, receiver=buffer))
        while not run.done():
            growth.append(len(buffer.tokens))
            await asyncio.sleep(0)
        outcome = run.result()
        assert set(growth) >= set(range(1, len(buffer.tokens)))
        assert [token.token for token in buffer.tokens] == outcome.output["tokens"]
        assert "".join(token.text for token in buffer.tokens) == outcome.output["text"]
        assert running.observer.counts["first token"] == 1


async def test_a_streamed_generation_has_the_outcome_of_any_other(registry: ModelRegistry) -> None:
    async with RunningEngine(registry) as running:
        streamed = await running.run(running.first, GENERATION, receiver=TokenBuffer(0.0))
        assert streamed == await running.run(running.first, GENERATION)
        assert running.observer.counts["first token"] == 1


async def test_what_generates_no_tokens_cannot_be_streamed(registry: ModelRegistry) -> None:
    async with RunningEngine(registry) as running:
        with pytest.raises(InvalidRequest):
            await running.run(running.first, Predict(TextInput(ids=(5,))), receiver=TokenBuffer(0.0))


async def test_a_failure_to_hand_out_tokens_ends_that_generation_alone(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: GenerateOperation) -> list[GeneratedToken]:
        raise ValueError("broken")

    monkeypatch.setattr(GenerateOperation, "new_tokens", fail)
    async with RunningEngine(registry) as running:
        broken = running.run(running.first, GENERATION, receiver=TokenBuffer(0.0))
        error, outcome = await asyncio.gather(broken, running.run(running.first, GENERATION), return_exceptions=True)
        assert isinstance(error, InternalError)
        assert outcome == await running.run(running.first, GENERATION)
