"""Characters that print nothing are dropped from text, whatever reads it."""

import pytest

from service.domain.errors import InvalidRequest
from service.domain.operations import Generate, GenerateOptions, OpenSession, Predict, PredictOptions, Score, TextInput
from service.engine.runner import run_operation
from service.tasks.architectures import load_task
from service.tasks.base import AnyTask
from service.tasks.inputs import require_text
from service.tasks.limits import TextLimits
from tests.folders import write_language_model
from tests.server import short_folder
from tests.translation_folders import write_encoder_decoder

INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\x00\x07\x1b\x1c\x7f\x80\x9f"
LIMITS = TextLimits(200, 60, 40)


@pytest.fixture(scope="module")
def words() -> AnyTask:
    with short_folder() as folder:
        return load_task(write_language_model(folder, "words"), LIMITS)[1]


@pytest.fixture(scope="module")
def translator() -> AnyTask:
    with short_folder() as folder:
        return load_task(write_encoder_decoder(folder, "mt"), LIMITS)[1]


def littered(text: str) -> str:
    """Return a text with an invisible character before, within and after it."""
    return "".join(INVISIBLE[index % len(INVISIBLE)] + letter for index, letter in enumerate(text)) + "\u200b"


def test_white_space_and_what_prints_stays() -> None:
    kept = "tab\tline\nreturn\r\nfeed\x0b\x0cnext\x85\u2028é\u0301 \u202e☃ "
    assert require_text(TextInput(kept)).text == kept
    clean = TextInput("the dog", target="le chien")
    assert require_text(clean) is clean
    assert require_text(TextInput(tokens=("\u200b",))).tokens == ("\u200b",)


@pytest.mark.parametrize("character", INVISIBLE)
def test_each_of_them_is_dropped(character: str) -> None:
    dirty = TextInput(f"{character}th{character}e", target=f"l{character}e")
    assert require_text(dirty) == TextInput("the", target="le")


def test_a_language_model_reads_what_prints(words: AnyTask) -> None:
    for operation in (
        lambda text: Predict(TextInput(text)),
        lambda text: Predict(TextInput(text), PredictOptions(complete=True)),
        lambda text: Score(TextInput(text)),
        lambda text: Generate(TextInput(text), GenerateOptions(max_tokens=3, temperature=0)),
    ):
        outputs = [
            run_operation(words, operation(text), words.initial_state).output for text in ("the d", littered("the d"))
        ]
        assert outputs[0] == outputs[1]


def test_a_translator_reads_what_prints(translator: AnyTask) -> None:
    text, target = "I am hungry. Where is Tom?", "J'ai faim."
    plain, odd = (TextInput(text, target=target), TextInput(littered(text), target=littered(target)))
    assert run_operation(translator, Score(odd), None).output == run_operation(translator, Score(plain), None).output
    texts = [run_operation(translator, Predict(TextInput(one.text)), None).output for one in (plain, odd)]
    assert texts[0] == texts[1]
    states = [run_operation(translator, OpenSession(TextInput(one.text)), None).state for one in (plain, odd)]
    assert states[0] == states[1]
    state = translator.state_codec.from_bytes(states[0])
    steps = [run_operation(translator, Predict(TextInput(one.target)), state).output for one in (plain, odd)]
    assert steps[0] == steps[1]


def test_a_text_of_nothing_else_is_empty(words: AnyTask, translator: AnyTask) -> None:
    nothing = TextInput(INVISIBLE)
    for task, operation in (
        (words, Predict(nothing)),
        (words, Predict(nothing, PredictOptions(complete=True))),
        (words, Score(nothing)),
        (words, Generate(nothing)),
        (translator, Predict(nothing)),
        (translator, Score(TextInput("Go.", target=INVISIBLE))),
        (translator, OpenSession(nothing)),
    ):
        with pytest.raises(InvalidRequest, match="has no token: expected at least one word"):
            run_operation(task, operation, task.initial_state)
