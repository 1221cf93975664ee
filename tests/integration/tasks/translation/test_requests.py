"""Validation of the inputs and options of a translation model."""

from pathlib import Path

import pytest

from service.domain.errors import InputTooLong, InvalidRequest
from service.domain.operations import Generate, GenerateOptions, Operation, Predict, PredictOptions, Score, TextInput
from service.tasks.architectures import load_task
from service.tasks.limits import TextLimits
from service.tasks.translation.task import TranslationTask
from tests.folders import write_language_model
from tests.integration.tasks.translation.translator import make_task
from tests.translation_requests import open_request, score_request, translate_options, translate_request


@pytest.mark.parametrize(
    ("operation", "error", "message"),
    [
        (translate_request(""), InvalidRequest, "input.text has no token"),
        (translate_request(" \n "), InvalidRequest, "input.text has no token"),
        (open_request(" "), InvalidRequest, "input.text has no token"),
        (score_request("I", " "), InvalidRequest, "input.target has no token"),
        (score_request("", "a"), InvalidRequest, "input.text has no token"),
        (translate_request("dog " * 60), InputTooLong, r"input.text has a sentence \('dog .*\) that has .* at most 40"),
        (translate_request("I do. " * 150), InputTooLong, "input.text has [0-9]+ tokens: expected at most 200"),
        (
            translate_request("I do. " * 14, translate_options(4, attention=True)),
            InputTooLong,
            "with options.attention, .* most 40",
        ),
        (translate_request("I do. " * 4, translate_options(4, None, 3, True)), InputTooLong, "expected at most 10"),
        (score_request("I", "chat " * 90), InputTooLong, "input.target has [0-9]+ tokens: expected at most 60"),
        (
            translate_request("I", translate_options(max_tokens=61)),
            InvalidRequest,
            "options.max_tokens is 61: expected at most",
        ),
        (
            translate_request("I", translate_options(alternatives=4)),
            InvalidRequest,
            "options.alternatives is 4: expected less",
        ),
        (Predict(None), InvalidRequest, "input.text is missing"),
        (Predict(TextInput(ids=(3,))), InvalidRequest, "a translation model reads no tokens or ids"),
        (Predict(TextInput(text="I", target="a")), InvalidRequest, "input.target is given"),
        (
            Predict(TextInput(text="I"), PredictOptions(top_k=3)),
            InvalidRequest,
            "options.top_k is 3: expected it to be",
        ),
        (Generate(None), InvalidRequest, "input.text is missing"),
        (
            Generate(TextInput(text="I"), GenerateOptions(top_p=0.5)),
            InvalidRequest,
            "options.top_p is 0.5",
        ),
        (Generate(TextInput(text="I"), GenerateOptions(logprobs=0)), InvalidRequest, "options.logprobs is 0"),
        (Score(TextInput(text="I")), InvalidRequest, "input.target is missing"),
    ],
)
def test_invalid_input_is_refused_before_anything_runs(
    task: TranslationTask, operation: Operation, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        task.start(operation, task.initial_state)


def test_attention_of_a_network_without_any_is_refused(tmp_path: Path) -> None:
    task = make_task(tmp_path, attention=None)
    with pytest.raises(InvalidRequest, match=r"options\.attention is true: expected false"):
        task.start(translate_request("I", translate_options(attention=True)), None)


def test_a_language_model_does_not_translate(tmp_path: Path) -> None:
    task = load_task(write_language_model(tmp_path), TextLimits())[1]
    with pytest.raises(InvalidRequest, match=r"options\.beam_size is 2: expected it to be left out"):
        task.start(translate_request("I", translate_options(2)), task.initial_state)


def test_a_session_without_a_source_is_refused(task: TranslationTask) -> None:
    with pytest.raises(InvalidRequest, match="input is missing: a session of a translation model is created with"):
        task.state_codec.to_bytes(task.initial_state)
