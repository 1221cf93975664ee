"""Sessions of tasks other than the first go on after a crash in the middle, as if nothing had been."""

import math

import httpx
import numpy as np
import pytest

from tests.e2e.task_models import INPUTS, OPENINGS, TEXT, numbers
from tests.rounding import FORECAST, PROBABILITY
from tests.server import Body, Server, answered, eventually, is_running, new_session, post

SOURCE = "I don't know what to do!"
ACCEPTED = ["Je", "ne", "sais", "pas", "quoi", "faire"]
HALF_HOUR = 1800
#: What a forecast may differ by, in the units of the test model, whose scale is 20.
CLOSE = 20 * FORECAST


def crash(server: Server) -> None:
    """Kill supervisor, workers and store at once, and start the service again."""
    workers = server.worker_pids()
    server.kill9()
    eventually(lambda: not any(map(is_running, workers)))
    server.restart()


def advance(http: httpx.Client, session: str, given: Body, step: int, **options: object) -> Body:
    body = {"input": given, "step": step, "options": options}
    return answered(post(http, f"/v1/sessions/{session}/steps", body))


def test_a_translators_session_goes_on_after_a_crash(server: Server, http: httpx.Client) -> None:
    undisturbed, session = (new_session(http, "mt", input={"text": SOURCE}) for _ in range(2))
    expected = [advance(http, undisturbed, {"text": word}, at)["output"] for at, word in enumerate(ACCEPTED)]
    for at, word in enumerate(ACCEPTED):
        if at == 3:
            crash(server)
        output = advance(http, session, {"text": word}, at)["output"]
        assert output["completion"]["text"] == expected[at]["completion"]["text"]
        for own, other in zip(output["predictions"], expected[at]["predictions"], strict=True):
            assert own["token"] == other["token"]
            assert abs(own["probability"] - other["probability"]) <= PROBABILITY
    at_once = advance(http, new_session(http, "mt", input={"text": SOURCE}), {"text": " ".join(ACCEPTED)}, 0)["output"]
    assert at_once["completion"]["text"] == expected[-1]["completion"]["text"]


def test_a_sensors_stream_goes_on_after_a_crash(server: Server, http: httpx.Client) -> None:
    values = [100 + 20 * math.sin(at / 4) for at in range(24)]
    start = "2026-03-02T08:00:00Z"
    whole = {"input": {"values": values, "timestamps": {"start": start, "step_seconds": HALF_HOUR}}}
    expected = answered(post(http, "/v1/models/sensor/predict", whole))["output"]
    session, scores = new_session(http, "sensor"), [None]
    for at, value in enumerate(values):
        if at == 12:
            crash(server)
        time = f"2026-03-02T{8 + at // 2:02}:{30 * (at % 2):02}:00+00:00"
        output = advance(http, session, {"values": [value], "timestamps": [time]}, at)["output"]
        scores += output["observed"]["anomaly_scores"] if at else []
    np.testing.assert_allclose(output["mean"], expected["mean"], atol=CLOSE, rtol=0)
    np.testing.assert_allclose(scores[1:], expected["observed"]["anomaly_scores"][1:], atol=PROBABILITY, rtol=0)
    assert output["observed"] is not None


@pytest.mark.slow
def test_many_sensors_step_in_one_request_and_survive_a_crash(server: Server, http: httpx.Client) -> None:
    sensors = [new_session(http, "sensor") for _ in range(20)]
    alone = new_session(http, "sensor")
    for at in range(4):
        if at == 2:
            crash(server)
        given = {"values": [90.0 + 5 * at], "timestamps": [f"2026-03-02T{at:02}:00:00Z"]}
        steps = [{"session_id": session, "input": given, "step": at} for session in sensors]
        results = answered(post(http, "/v1/sessions/steps", {"steps": steps}))["results"]
        expected = advance(http, alone, given, at)["output"]
        for session, result in zip(sensors, results, strict=True):
            assert (result["session_id"], result["step"]) == (session, at + 1)
            np.testing.assert_allclose(result["output"]["mean"], expected["mean"], atol=CLOSE, rtol=0)


def test_sessions_of_sequences_go_on_after_a_crash(server: Server, http: httpx.Client) -> None:
    undisturbed, sessions = (
        {model: new_session(http, model, **OPENINGS.get(model, {})) for model in INPUTS} for _ in range(2)
    )
    expected = {
        model: [advance(http, session, given, at)["output"] for at, given in enumerate(INPUTS[model])]
        for model, session in undisturbed.items()
    }
    for at in range(9):
        if at == 4:
            crash(server)
        for model, session in sessions.items():
            output = advance(http, session, INPUTS[model][at], at)["output"]
            np.testing.assert_allclose(numbers(output), numbers(expected[model][at]), atol=CLOSE / 5, rtol=0)
    whole = answered(post(http, "/v1/models/mood/predict", {"input": {"text": TEXT}}))["output"]
    np.testing.assert_allclose(numbers(whole), numbers(expected["mood"][-1]), atol=PROBABILITY, rtol=0)
