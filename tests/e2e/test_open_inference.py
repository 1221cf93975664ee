"""Sequences of the Open Inference Protocol are sessions: they survive crashes and continue elsewhere."""

from typing import Any

import httpx
import pytest

from tests.e2e.traffic import kill_a_worker
from tests.server import (
    Body,
    Server,
    answered,
    new_session,
    probabilities,
    step,
)

WORDS = ["a b", "c", "d e", "f", "b"]


def sequence_step(http: httpx.Client, name: int | str, words: str, **parameters: Any) -> Body:
    tensor = {"name": "TEXT", "shape": [1, 1], "datatype": "BYTES", "data": [words]}
    outputs = [{"name": "TOP_IDS"}, {"name": "TOP_PROBABILITIES"}]
    body = {"inputs": [tensor], "outputs": outputs, "parameters": {"sequence_id": name, "top_k": 10, **parameters}}
    return answered(http.post("/v2/models/tiny/infer", json=body))


def predicted(response: Body) -> dict[int, float]:
    ids, values = (output["data"] for output in response["outputs"])
    return dict(zip(ids, values, strict=True))


def expected(http: httpx.Client) -> list[dict[int, float]]:
    session = new_session(http)
    return [probabilities(answered(step(http, session, words, options={"top_k": 10}))["output"]) for words in WORDS]


@pytest.mark.parametrize("name", [7001, pytest.param("seven", marks=pytest.mark.slow)])
def test_a_sequence_survives_the_crash_of_every_worker(server: Server, http: httpx.Client, name: int | str) -> None:
    for index, (words, probability) in enumerate(zip(WORDS, expected(http), strict=True)):
        response = sequence_step(http, name, words, sequence_start=index == 0, step=index)
        assert predicted(response) == pytest.approx(probability, abs=1e-5)
        if index in {0, 2}:
            kill_a_worker(server)


@pytest.mark.slow
def test_a_sequence_of_a_killed_worker_continues_over_the_native_api(server: Server, http: httpx.Client) -> None:
    wanted = expected(http)
    for index, words in enumerate(WORDS[:3]):
        response = sequence_step(http, 7002, words, sequence_start=index == 0)
        assert predicted(response) == pytest.approx(wanted[index], abs=1e-5)
    for _ in range(2):
        kill_a_worker(server)
    session = response["parameters"]["session_id"]
    for index, words in enumerate(WORDS[3:], 3):
        output = answered(step(http, session, words, step=index, options={"top_k": 10}))["output"]
        assert probabilities(output) == pytest.approx(wanted[index], abs=1e-5)


def test_a_repeated_request_is_applied_once_across_a_crash(server: Server, http: httpx.Client) -> None:
    first = sequence_step(http, 7003, WORDS[0], sequence_start=True, step=0)
    kill_a_worker(server)
    again = sequence_step(http, 7003, WORDS[0], sequence_start=True, step=0)
    assert again["outputs"] == first["outputs"]
    assert again["parameters"]["replayed"]
    assert again["parameters"]["step"] == 1
