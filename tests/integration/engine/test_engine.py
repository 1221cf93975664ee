"""Many operations at once on a small real network: batched equals alone, and failures stay where they belong."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from service.domain.errors import DeadlineExceeded, InternalError, ModelNotReady, Overloaded, StateCorrupted
from service.domain.models import ModelVersion
from service.domain.operations import Generate, GenerateOptions, Predict, Score, TextInput
from service.engine.engine import MAX_GATHER_TURNS, BatchingEngine
from service.engine.registry import LoadedModel, ModelRegistry
from service.tasks.next_word.operations import ActiveOperation, TokenOutput
from service.tasks.next_word.task import NextWordTask
from tests.fakes import CountingObserver, ManualClock
from tests.folders import WORDS, load_catalogue, write_language_model
from tests.rounding import same_answer

POISON = 13


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> ModelRegistry:
    models = tmp_path_factory.mktemp("models")
    write_language_model(models, name="one")
    write_language_model(models, name="two", cell="gru", seed=1)
    return load_catalogue(models)


class Scene:
    """A running engine with its clock and observer."""

    def __init__(self, catalogue: ModelRegistry, max_batch: int = 8, max_queue: int = 1000) -> None:
        self.clock, self.observer = ManualClock(), CountingObserver()
        self.engine = BatchingEngine(
            catalogue, self.observer, self.clock.monotonic, max_batch=max_batch, max_queue=max_queue
        )
        self.one: ModelVersion = catalogue.versions()[0]
        self.two: ModelVersion = catalogue.versions()[-1]

    async def output(self, model: ModelVersion, operation: Any) -> dict[str, Any]:
        return (await self.engine.run(model, operation, None)).output


def play(scene: Scene, work: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        scene.engine.start()
        try:
            await work(scene)
        finally:
            await scene.engine.stop()

    asyncio.run(run())


def operations() -> list[Predict | Score | Generate]:
    texts = [" ".join(WORDS[2 + start % 30 : 3 + start % 30 + length]) for start, length in enumerate([0, 6, 2, 9] * 5)]
    predictions = [Predict(TextInput(text=text)) for text in texts]
    scores = [Score(TextInput(text=text)) for text in texts[:5]]
    return [*predictions, *scores, *(Generate(None, GenerateOptions(7, temperature=0)) for _ in range(3))]


def test_batched_answers_equal_those_given_alone(catalogue: ModelRegistry) -> None:
    async def work(scene: Scene) -> None:
        models = [scene.one if at % 3 else scene.two for at in range(len(operations()))]
        pairs = list(zip(models, operations(), strict=True))
        alone = [await scene.output(*pair) for pair in pairs]
        together = await asyncio.gather(*(scene.output(*pair) for pair in pairs))
        assert all(map(same_answer, together, alone))
        assert scene.observer.counts["batch 8"] > 0

    play(Scene(catalogue), work)


def test_a_short_operation_is_answered_before_a_long_one_that_came_first(catalogue: ModelRegistry) -> None:
    async def work(scene: Scene) -> None:
        long = asyncio.create_task(scene.output(scene.one, Predict(TextInput(ids=(5,) * 40))))
        await asyncio.sleep(0)
        await scene.output(scene.one, Predict(TextInput(ids=(5,))))
        assert not long.done()
        await long

    play(Scene(catalogue), work)


def test_operations_that_arrive_turn_after_turn_share_a_pass(catalogue: ModelRegistry) -> None:
    async def late(scene: Scene, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await scene.output(scene.one, Predict(TextInput(ids=(5,))))

    async def work(scene: Scene) -> None:
        await asyncio.gather(*(late(scene, turns) for turns in range(6)))
        assert scene.observer.counts["batch 6"] == 1

    play(Scene(catalogue), work)


def test_gathering_ends_though_more_operations_keep_coming(catalogue: ModelRegistry) -> None:
    async def work(scene: Scene) -> None:
        first = asyncio.create_task(scene.output(scene.one, Predict(TextInput(ids=(5,)))))
        others = []
        while not first.done():
            others.append(asyncio.create_task(scene.output(scene.one, Predict(TextInput(ids=(5,))))))
            await asyncio.sleep(0)
        assert len(others) <= 2 * MAX_GATHER_TURNS
        await asyncio.gather(*others)

    play(Scene(catalogue, max_batch=100), work)


def test_a_cancelled_operation_touches_nobody_else(catalogue: ModelRegistry) -> None:
    async def work(scene: Scene) -> None:
        expected = [await scene.output(scene.one, one) for one in operations()]
        tasks = [asyncio.create_task(scene.output(scene.one, one)) for one in operations()]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for at, (answer, known) in enumerate(zip(answers, expected, strict=True)):
            assert isinstance(answer, asyncio.CancelledError) if at % 3 == 0 else same_answer(answer, known)

    play(Scene(catalogue), work)


def test_a_generation_that_nobody_waits_for_any_more_stops(catalogue: ModelRegistry) -> None:
    async def work(scene: Scene) -> None:
        generation = asyncio.create_task(scene.output(scene.one, Generate(None, GenerateOptions(500, temperature=0))))
        await asyncio.sleep(0)
        await scene.output(scene.one, operations()[0])
        assert scene.observer.counts["batch 2"] == 1
        generation.cancel()
        alone = scene.observer.counts["batch 1"]
        await scene.output(scene.two, operations()[0])
        assert scene.observer.counts["batch 1"] == alone + 1
        await asyncio.gather(generation, return_exceptions=True)
        assert generation.cancelled()

    play(Scene(catalogue), work)


class Poisoned(NextWordTask):
    """Fails its forward pass whenever a batch holds the poison token."""

    def forward(self, batch: list[ActiveOperation]) -> list[TokenOutput]:
        if any(POISON in sequence.next_ids(9) for sequence in batch):
            raise RuntimeError("poison")
        return super().forward(batch)


def poisoned(catalogue: ModelRegistry) -> ModelRegistry:
    one = catalogue.get(catalogue.versions()[0])
    task = object.__new__(Poisoned)
    task.__dict__.update(one.task.__dict__)
    return ModelRegistry([LoadedModel(one.version, task)])


def test_an_operation_that_breaks_the_forward_pass_fails_alone(catalogue: ModelRegistry) -> None:
    async def work(scene: Scene) -> None:
        good = Predict(TextInput(ids=(5, 6, 7)))
        expected = await scene.output(scene.one, good)
        bad = Predict(TextInput(ids=(5, POISON, 7)))
        answers = await asyncio.gather(
            *(scene.output(scene.one, one) for one in (good, bad, good, good)), return_exceptions=True
        )
        assert isinstance(answers[1], InternalError)
        assert all(same_answer(answers[at], expected) for at in (0, 2, 3))
        assert scene.engine.healthy()
        assert same_answer(await scene.output(scene.one, good), expected)

    play(Scene(poisoned(catalogue)), work)


def test_an_outcome_that_cannot_be_told_fails_alone_and_the_engine_lives(catalogue: ModelRegistry) -> None:
    async def work(scene: Scene) -> None:
        def refuse(*_: object) -> None:
            raise ValueError("counters only grow")

        scene.observer.ran = refuse  # type: ignore[method-assign]
        assert (await scene.output(scene.one, operations()[0]))["predictions"]
        assert scene.engine.healthy()

    play(Scene(catalogue), work)


def test_an_engine_that_dies_fails_those_who_wait_and_is_not_healthy(catalogue: ModelRegistry) -> None:
    async def work(scene: Scene) -> None:
        assert scene.engine.healthy()
        waiting = [asyncio.create_task(scene.output(scene.one, one)) for one in operations()]
        await asyncio.sleep(0)

        def fall_over() -> float:
            raise MemoryError

        scene.engine._monotonic = fall_over
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(answer) for answer in answers} <= {ModelNotReady, dict}
        assert ModelNotReady in {type(answer) for answer in answers}
        assert not scene.engine.healthy()
        with pytest.raises(ModelNotReady):
            await scene.output(scene.one, operations()[0])

    play(Scene(catalogue), work)


def test_an_operation_whose_time_is_over_is_not_run(catalogue: ModelRegistry) -> None:
    async def work(scene: Scene) -> None:
        with pytest.raises(DeadlineExceeded):
            await scene.engine.run(scene.one, operations()[0], None, deadline=scene.clock.monotonic())
        assert scene.observer.counts["waited"] == 0

    play(Scene(catalogue), work)


def test_past_its_capacity_the_engine_refuses_at_once(catalogue: ModelRegistry) -> None:
    async def work(scene: Scene) -> None:
        answers = await asyncio.gather(*(scene.output(scene.one, one) for one in operations()), return_exceptions=True)
        assert sum(isinstance(answer, Overloaded) for answer in answers) == len(operations()) - 5

    play(Scene(catalogue, max_queue=5), work)


def test_a_damaged_state_fails_before_it_joins_a_batch(catalogue: ModelRegistry) -> None:
    async def work(scene: Scene) -> None:
        with pytest.raises(StateCorrupted):
            await scene.engine.run(scene.one, operations()[0], b"short")

    play(Scene(catalogue), work)


def test_a_broken_version_leaves_the_others_serving(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_language_model(tmp_path, name="good")
    newer = write_language_model(tmp_path, name="good", version="10")
    older = write_language_model(tmp_path, name="good", version="9")
    (write_language_model(tmp_path, name="bad") / "config.json").write_text("{")
    (write_language_model(tmp_path, name="card") / "README.md").write_text("---\ndate: 2024-13-45\n---\n")
    (tmp_path / "recipes" / "notes").mkdir(parents=True)
    loaded = load_catalogue(tmp_path)
    assert [(one.name, one.version) for one in loaded.versions()] == [("good", "1"), ("good", "9"), ("good", "10")]
    assert newer.exists()
    assert older.exists()
    assert any("model version refused" in message for message in caplog.messages)
