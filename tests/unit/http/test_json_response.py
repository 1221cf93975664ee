"""What the responses to steps tell the access log."""

import json

import pytest

from service.application.sessions.serializers import StepResponse
from service.domain.errors import SessionNotFound, StepConflict
from service.http.json_response import StepAnswer, StepAnswers

TEXT = '"model":"other","step":9,"timesteps":9'


def result(model: str = "tiny") -> StepResponse:
    body = {
        "session_id": "ses_1",
        "model": model,
        "version": "1",
        "step": 12,
        "timesteps": 30,
        "output": {"text": TEXT},
    }
    return StepResponse(json.dumps(body, separators=(",", ":")).encode())


@pytest.mark.parametrize("model", ["tiny", TEXT, 'a"b\\', "größe"])
def test_model_and_step_are_those_of_the_answer_whatever_it_holds(model: str) -> None:
    assert StepAnswer(result(model)).progress() == {"model": model, "step": 12}


def test_an_answer_without_a_step_tells_nothing() -> None:
    assert StepAnswer(StepResponse(b"{}")).progress() == {}


def test_of_many_steps_those_that_succeeded_are_counted() -> None:
    failed = StepConflict("elsewhere", step=3), SessionNotFound("none")
    assert StepAnswers([result(), *failed, result()]).progress() == {"answered": 2}
