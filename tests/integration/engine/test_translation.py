"""Many translations at once: batched equals alone, and failures stay where they belong."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from service.domain.errors import InternalError, InvalidRequest
from service.domain.operations import Operation, Predict, TextInput
from service.engine.loaded_models import ModelRegistry
from service.tasks.translation.operations import TranslationOperation, TranslationOutput
from service.tasks.translation.task import TranslationTask
from tests.folders import load_registry, write_language_model
from tests.integration.engine.running_engine import RunningEngine, registry_with_task
from tests.rounding import same_answer
from tests.translation_folders import write_encoder_decoder
from tests.translation_requests import accept_request, open_request, score_request, translate_options, translate_request

POISON = 87


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> ModelRegistry:
    models = tmp_path_factory.mktemp("models")
    write_encoder_decoder(models, name="attending")
    write_encoder_decoder(models, name="feeding", decoder={"input_feed": True, "cell": "gru"}, bridge="linear")
    write_language_model(models, name="words")
    return load_registry(models)


def operations() -> list[Operation]:
    texts = ["Go.", "I am hungry. Where is Tom?", "She likes dogs and cats, and " * 4, "日本", "Who are you?"]
    options = [
        translate_options(1),
        translate_options(4, attention=True),
        translate_options(3, 5),
        translate_options(8),
    ]
    translations = [translate_request(text, chosen) for text in texts for chosen in options]
    scores = [score_request(text, "J'ai faim, Tom ?") for text in texts]
    return [*translations, *scores, *(open_request(text) for text in texts)]


async def test_batched_answers_equal_those_given_alone(registry: ModelRegistry) -> None:
    async with RunningEngine(registry) as running:
        for model in running.engine.versions()[:2]:
            alone = [await running.output(model, operation) for operation in operations()]
            together = await asyncio.gather(*(running.output(model, operation) for operation in operations()))
            assert all(map(same_answer, together, alone))
        assert running.observer.counts["batch 8"] > 0


async def test_steps_of_many_sessions_equal_those_of_each(registry: ModelRegistry) -> None:
    async with RunningEngine(registry) as running:
        model, run = running.first, running.run
        texts = ["Go.", "Where is Tom?", "Mary sings well, very well today.", "Go."]
        opened = [await run(model, open_request(text), None) for text in texts]
        operations = [accept_request(words) for words in ("Il va", "Où est", None, "Elle")]
        steps = [(operation, outcome.state) for operation, outcome in zip(operations, opened, strict=True)]
        alone = [await run(model, *step) for step in steps]
        together = await asyncio.gather(*(run(model, *step) for step in steps))
        assert all(same_answer(one.output, other.output) for one, other in zip(alone, together, strict=True))
        assert [outcome.timesteps for outcome in together] == [outcome.timesteps for outcome in alone]
        assert together[2].state == opened[2].state


def test_what_is_said_of_a_model_is_said_of_its_decoder(registry: ModelRegistry) -> None:
    attending, feeding, _ = registry.versions()
    assert (attending.task, attending.architecture, attending.verified) == ("translation", "encoder-decoder", True)
    assert (attending.cell, attending.num_layers, attending.hidden_size) == ("lstm", 1, 12)
    assert (feeding.cell, feeding.state_bytes) == ("gru", 4 * (12 + 10))


async def test_each_task_refuses_the_operations_of_the_other_and_a_session_without_source(
    registry: ModelRegistry,
) -> None:
    async with RunningEngine(registry) as running:
        translation, words = running.first, running.last
        for model, operation in (
            (translation, Predict(TextInput(tokens=("the",)))),
            (words, translate_request("the", translate_options(5))),
        ):
            with pytest.raises(InvalidRequest, match="expected"):
                await running.output(model, operation)
        with pytest.raises(InvalidRequest, match="input is missing"):
            running.engine.initial_state(translation)
        with pytest.raises(InvalidRequest, match="expected none, since only a translation's session"):
            await running.output(words, open_request("Go."))


class Poisoned(TranslationTask):
    """Fails its forward pass whenever a source with the poison token is to be read."""

    def forward(self, batch: list[TranslationOperation]) -> list[TranslationOutput]:
        if any(POISON in source for sequence in batch for source in sequence.sources):
            raise RuntimeError("poison")
        return super().forward(batch)


async def test_an_operation_that_breaks_the_forward_pass_fails_alone(registry: ModelRegistry) -> None:
    loaded = registry.get(registry.versions()[0])
    async with RunningEngine(registry_with_task(loaded, Poisoned)) as running:
        good, bad = translate_request("Go."), translate_request("Tom")
        started: list[Any] = [loaded.task.start(operation, None) for operation in (good, bad)]
        assert [POISON in operation.sources[0] for operation in started] == [False, True]
        expected = await running.output(running.first, good)
        answers = await asyncio.gather(
            *(running.output(running.first, operation) for operation in (good, bad, good)), return_exceptions=True
        )
        assert isinstance(answers[1], InternalError)
        assert same_answer(answers[0], expected)
        assert same_answer(answers[2], expected)


def test_a_translation_folder_without_its_tokenizer_leaves_the_others_serving(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (write_encoder_decoder(tmp_path) / "target_tokenizer.json").unlink()
    write_language_model(tmp_path, name="words")
    assert [version.name for version in load_registry(tmp_path).versions()] == ["words"]
    assert any("model version refused" in message for message in caplog.messages)
