"""Many operations at once on a small real network: batched equals alone, and failures stay where they belong."""

import asyncio
from pathlib import Path

import pytest

from service.domain.errors import DeadlineExceeded, InternalError, ModelNotReady, Overloaded, StateCorrupted
from service.domain.operations import Generate, GenerateOptions, Predict, Score, TextInput
from service.engine.engine import MAX_GATHER_TURNS
from service.engine.loaded_models import ModelRegistry
from service.tasks.next_word.operations import ActiveOperation, TokenOutput
from service.tasks.next_word.task import NextWordTask
from tests.folders import WORDS, load_registry, write_language_model
from tests.integration.engine.running_engine import RunningEngine, registry_with_task
from tests.rounding import same_answer

POISON = 13


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> ModelRegistry:
    models = tmp_path_factory.mktemp("models")
    write_language_model(models, name="one")
    write_language_model(models, name="two", cell="gru", seed=1)
    return load_registry(models)


def operations() -> list[Predict | Score | Generate]:
    texts = [" ".join(WORDS[2 + start % 30 : 3 + start % 30 + length]) for start, length in enumerate([0, 6, 2, 9] * 5)]
    predictions = [Predict(TextInput(text=text)) for text in texts]
    scores = [Score(TextInput(text=text)) for text in texts[:5]]
    return [*predictions, *scores, *(Generate(None, GenerateOptions(7, temperature=0)) for _ in range(3))]


async def test_batched_answers_equal_those_given_alone(registry: ModelRegistry) -> None:
    async with RunningEngine(registry) as running:
        models = [running.first if index % 3 else running.last for index in range(len(operations()))]
        pairs = list(zip(models, operations(), strict=True))
        alone = [await running.output(*pair) for pair in pairs]
        together = await asyncio.gather(*(running.output(*pair) for pair in pairs))
        assert all(map(same_answer, together, alone))
        assert running.observer.counts["batch 8"] > 0


async def test_a_short_operation_is_answered_before_a_long_one_that_came_first(registry: ModelRegistry) -> None:
    async with RunningEngine(registry) as running:
        long = asyncio.create_task(running.output(running.first, Predict(TextInput(ids=(5,) * 40))))
        await asyncio.sleep(0)
        await running.output(running.first, Predict(TextInput(ids=(5,))))
        assert not long.done()
        await long


async def test_operations_that_arrive_turn_after_turn_share_a_pass(registry: ModelRegistry) -> None:
    async def late(running: RunningEngine, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await running.output(running.first, Predict(TextInput(ids=(5,))))

    async with RunningEngine(registry) as running:
        await asyncio.gather(*(late(running, turns) for turns in range(6)))
        assert running.observer.counts["batch 6"] == 1


async def test_gathering_ends_though_more_operations_keep_coming(registry: ModelRegistry) -> None:
    async with RunningEngine(registry, max_batch=100) as running:
        first = asyncio.create_task(running.output(running.first, Predict(TextInput(ids=(5,)))))
        others = []
        while not first.done():
            others.append(asyncio.create_task(running.output(running.first, Predict(TextInput(ids=(5,))))))
            await asyncio.sleep(0)
        assert len(others) <= 2 * MAX_GATHER_TURNS
        await asyncio.gather(*others)


async def test_a_cancelled_operation_touches_nobody_else(registry: ModelRegistry) -> None:
    async with RunningEngine(registry) as running:
        expected = [await running.output(running.first, operation) for operation in operations()]
        tasks = [asyncio.create_task(running.output(running.first, operation)) for operation in operations()]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for index, (answer, known) in enumerate(zip(answers, expected, strict=True)):
            assert isinstance(answer, asyncio.CancelledError) if index % 3 == 0 else same_answer(answer, known)


async def test_a_generation_that_nobody_waits_for_any_more_stops(registry: ModelRegistry) -> None:
    async with RunningEngine(registry) as running:
        generation = asyncio.create_task(
            running.output(running.first, Generate(None, GenerateOptions(500, temperature=0)))
        )
        await asyncio.sleep(0)
        await running.output(running.first, operations()[0])
        assert running.observer.counts["batch 2"] == 1
        generation.cancel()
        alone = running.observer.counts["batch 1"]
        await running.output(running.last, operations()[0])
        assert running.observer.counts["batch 1"] == alone + 1
        await asyncio.gather(generation, return_exceptions=True)
        assert generation.cancelled()


class Poisoned(NextWordTask):
    """Fails its forward pass whenever a batch holds the poison token."""

    def forward(self, batch: list[ActiveOperation]) -> list[TokenOutput]:
        if any(POISON in sequence.next_ids(9) for sequence in batch):
            raise RuntimeError("poison")
        return super().forward(batch)


async def test_an_operation_that_breaks_the_forward_pass_fails_alone(registry: ModelRegistry) -> None:
    async with RunningEngine(registry_with_task(registry.get(registry.versions()[0]), Poisoned)) as running:
        good = Predict(TextInput(ids=(5, 6, 7)))
        expected = await running.output(running.first, good)
        bad = Predict(TextInput(ids=(5, POISON, 7)))
        answers = await asyncio.gather(
            *(running.output(running.first, operation) for operation in (good, bad, good, good)), return_exceptions=True
        )
        assert isinstance(answers[1], InternalError)
        assert all(same_answer(answers[index], expected) for index in (0, 2, 3))
        assert running.engine.healthy()
        assert same_answer(await running.output(running.first, good), expected)


async def test_an_outcome_that_cannot_be_told_fails_alone_and_the_engine_lives(registry: ModelRegistry) -> None:
    async with RunningEngine(registry) as running:

        def refuse(*_: object) -> None:
            raise ValueError("counters only grow")

        running.observer.ran = refuse  # type: ignore[method-assign]
        assert (await running.output(running.first, operations()[0]))["predictions"]
        assert running.engine.healthy()


async def test_an_engine_that_dies_fails_those_who_wait_and_is_not_healthy(registry: ModelRegistry) -> None:
    async with RunningEngine(registry) as running:
        assert running.engine.healthy()
        waiting = [asyncio.create_task(running.output(running.first, operation)) for operation in operations()]
        await asyncio.sleep(0)

        def fall_over() -> float:
            raise MemoryError

        running.engine._monotonic = fall_over
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(answer) for answer in answers} <= {ModelNotReady, dict}
        assert ModelNotReady in {type(answer) for answer in answers}
        assert not running.engine.healthy()
        with pytest.raises(ModelNotReady):
            await running.output(running.first, operations()[0])


async def test_an_operation_whose_time_is_over_is_not_run(registry: ModelRegistry) -> None:
    async with RunningEngine(registry) as running:
        with pytest.raises(DeadlineExceeded):
            await running.run(running.first, operations()[0], None, deadline=running.clock.monotonic())
        assert running.observer.counts["waited"] == 0


async def test_past_its_capacity_the_engine_refuses_at_once(registry: ModelRegistry) -> None:
    async with RunningEngine(registry, max_queue=5) as running:
        answers = await asyncio.gather(
            *(running.output(running.first, operation) for operation in operations()), return_exceptions=True
        )
        assert sum(isinstance(answer, Overloaded) for answer in answers) == len(operations()) - 5


async def test_a_damaged_state_fails_before_it_joins_a_batch(registry: ModelRegistry) -> None:
    async with RunningEngine(registry) as running:
        with pytest.raises(StateCorrupted):
            await running.run(running.first, operations()[0], b"short")


def test_a_broken_version_leaves_the_others_serving(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_language_model(tmp_path, name="good")
    newer = write_language_model(tmp_path, name="good", version="10")
    older = write_language_model(tmp_path, name="good", version="9")
    (write_language_model(tmp_path, name="bad") / "config.json").write_text("{")
    (write_language_model(tmp_path, name="card") / "README.md").write_text("---\ndate: 2024-13-45\n---\n")
    (tmp_path / "recipes" / "notes").mkdir(parents=True)
    loaded = load_registry(tmp_path).versions()
    assert [(version.name, version.version) for version in loaded] == [("good", "1"), ("good", "9"), ("good", "10")]
    assert newer.exists()
    assert older.exists()
    assert any("model version refused" in message for message in caplog.messages)
