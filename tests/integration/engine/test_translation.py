"""Many translations at once: batched equals alone, and failures stay where they belong."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from service.domain.errors import InternalError, InvalidRequest
from service.domain.operations import Operation, Predict, TextInput
from service.engine.registry import LoadedModel, ModelRegistry
from service.tasks.translation.operations import Advance, TranslationOperation
from service.tasks.translation.task import TranslationTask
from tests.folders import load_catalogue, write_language_model
from tests.integration.engine.test_engine import Scene, play
from tests.rounding import same_answer
from tests.translation_folders import write_encoder_decoder
from tests.translation_requests import AcceptTranslation, OpenTranslation, ScoreTranslation, Translate, TranslateOptions

POISON = 87


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> ModelRegistry:
    models = tmp_path_factory.mktemp("models")
    write_encoder_decoder(models, name="attending")
    write_encoder_decoder(models, name="feeding", decoder={"input_feed": True, "cell": "gru"}, bridge="linear")
    write_language_model(models, name="words")
    return load_catalogue(models)


def operations() -> list[Operation]:
    texts = ["Go.", "I am hungry. Where is Tom?", "She likes dogs and cats, and " * 4, "日本", "Who are you?"]
    options = [TranslateOptions(1), TranslateOptions(4, attention=True), TranslateOptions(3, 5), TranslateOptions(8)]
    translations = [Translate(text, one) for text in texts for one in options]
    scores = [ScoreTranslation(text, "J'ai faim, Tom ?") for text in texts]
    return [*translations, *scores, *(OpenTranslation(text) for text in texts)]


def test_batched_answers_equal_those_given_alone(catalogue: ModelRegistry) -> None:
    async def work(scene: Scene) -> None:
        for model in scene.engine.versions()[:2]:
            alone = [await scene.output(model, one) for one in operations()]
            together = await asyncio.gather(*(scene.output(model, one) for one in operations()))
            assert all(map(same_answer, together, alone))
        assert scene.observer.counts["batch 8"] > 0

    play(Scene(catalogue), work)


def test_steps_of_many_sessions_equal_those_of_each(catalogue: ModelRegistry) -> None:
    async def work(scene: Scene) -> None:
        model, run = scene.one, scene.engine.run
        texts = ["Go.", "Where is Tom?", "Mary sings well, very well today.", "Go."]
        opened = [await run(model, OpenTranslation(text), None) for text in texts]
        accepted = ["Il va", "Où est", None, "Elle"]
        alone = [await run(model, AcceptTranslation(a), one.state) for a, one in zip(accepted, opened, strict=True)]
        together = await asyncio.gather(
            *(run(model, AcceptTranslation(a), one.state) for a, one in zip(accepted, opened, strict=True))
        )
        assert all(same_answer(one.output, two.output) for one, two in zip(alone, together, strict=True))
        assert [one.timesteps for one in together] == [one.timesteps for one in alone]
        assert together[2].state == opened[2].state

    play(Scene(catalogue), work)


def test_what_is_said_of_a_model_is_said_of_its_decoder(catalogue: ModelRegistry) -> None:
    attending, feeding, _ = catalogue.versions()
    assert (attending.task, attending.architecture, attending.verified) == ("translation", "encoder-decoder", True)
    assert (attending.cell, attending.num_layers, attending.hidden_size) == ("lstm", 1, 12)
    assert (feeding.cell, feeding.state_bytes) == ("gru", 4 * (12 + 10))


def test_each_task_refuses_the_operations_of_the_other_and_a_session_without_source(catalogue: ModelRegistry) -> None:
    async def work(scene: Scene) -> None:
        translation, words = scene.one, scene.two
        for model, operation in (
            (translation, Predict(TextInput(tokens=("the",)))),
            (words, Translate("the", TranslateOptions(5))),
        ):
            with pytest.raises(InvalidRequest, match="expected"):
                await scene.output(model, operation)
        with pytest.raises(InvalidRequest, match="input is missing"):
            scene.engine.initial_state(translation)
        with pytest.raises(InvalidRequest, match="expected none, since only a translation's session"):
            await scene.output(words, OpenTranslation("Go."))

    play(Scene(catalogue), work)


class Poisoned(TranslationTask):
    """Fails its forward pass whenever a source with the poison token is to be read."""

    def forward(self, batch: list[TranslationOperation]) -> list[Advance]:
        if any(POISON in source for sequence in batch for source in sequence.sources):
            raise RuntimeError("poison")
        return super().forward(batch)


def test_an_operation_that_breaks_the_forward_pass_fails_alone(catalogue: ModelRegistry) -> None:
    async def work(scene: Scene) -> None:
        good, bad = Translate("Go."), Translate("Tom")
        sequences: list[Any] = [scene.engine._catalogue.get(scene.one).task.start(one, None) for one in (good, bad)]
        assert [POISON in one.sources[0] for one in sequences] == [False, True]
        expected = await scene.output(scene.one, good)
        answers = await asyncio.gather(
            *(scene.output(scene.one, one) for one in (good, bad, good)), return_exceptions=True
        )
        assert isinstance(answers[1], InternalError)
        assert same_answer(answers[0], expected)
        assert same_answer(answers[2], expected)

    one = catalogue.get(catalogue.versions()[0])
    task = object.__new__(Poisoned)
    task.__dict__.update(one.task.__dict__)
    play(Scene(ModelRegistry([LoadedModel(one.version, task)])), work)


def test_a_translation_folder_without_its_tokenizer_leaves_the_others_serving(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (write_encoder_decoder(tmp_path) / "target_tokenizer.json").unlink()
    write_language_model(tmp_path, name="words")
    assert [one.name for one in load_catalogue(tmp_path).versions()] == ["words"]
    assert any("model version refused" in message for message in caplog.messages)
