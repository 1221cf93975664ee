"""The vector of a language model in config.json: what a session stores of it, and errors that name the field."""

from typing import Any

import pytest

from service.domain.errors import ModelFolderError
from tests.forecast_folders import forecaster_fields
from tests.registered import build_config, with_state
from tests.unit.nets.config.test_windows import LANGUAGE

LSTM: dict[str, Any] = {**LANGUAGE, "cell": "lstm", "initial_state": "vector", "vector": {"size": 5}}
INPUT: dict[str, Any] = {**LANGUAGE, "vector": {"size": 5, "first_input": [{"size": 6}]}}


@pytest.mark.parametrize("fields", [LSTM, {**INPUT, "cell": "lstm"}], ids=["initial state", "first input"])
def test_a_session_stores_the_vector_behind_its_state(fields: dict[str, Any]) -> None:
    complete = with_state(fields, "place")
    build_config(complete, "place")
    names = [(entry["name"], entry["shape"]) for entry in complete["state"]]
    assert names == [("h_l0", [8]), ("c_l0", [8]), ("log_normaliser", [1]), ("vector", [5])]


def test_without_a_vector_nothing_else_is_stored() -> None:
    assert with_state({**LANGUAGE, "vector": None}, "place")["state"] == with_state(LANGUAGE, "place")["state"]


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({**LANGUAGE, "initial_state": "vector"}, "vector: found nothing, expected an object with its size"),
    ({**LANGUAGE, "vector": {"size": 5}}, "vector: found nothing that reads it, expected first_input inside"),
    ({**LSTM, "vector": {"size": 0}}, "vector.size: found 0, expected greater than or equal to 1"),
    ({**LSTM, "vector": {"size": 70_000}}, "vector.size: found 70000, expected less than or equal to 65536"),
    ({**LSTM, "vector": {"size": 5, "bias": True}}, "vector.bias: found true, expected no such field here"),
    ({**LSTM, "vector": {"size": 5, "activation": "tan"}}, 'vector.activation: found "tan"'),
    ({**LSTM, "vector": {"size": 5, "states": ["h_l1"]}}, "vector.states: found h_l1, expected tensors of the"),
    ({**LSTM, "vector": {"size": 5, "states": ["h_l0", "h_l0"]}}, "expected each tensor once"),
    ({**INPUT, "vector": {"size": 5, "first_input": [{"size": 7}]}}, "vector.first_input: found layers with 7 outputs"),
    ({**INPUT, "vector": {"size": 5, "first_input": []}}, "found layers with 5 outputs, expected 6, those of an"),
    ({**INPUT, "vector": {**INPUT["vector"], "states": ["h_l0"]}}, "initial_state: found another one than vector"),
    ({**LSTM, "window": 4}, "window: found 4, expected none, since a sequence that begins with a vector"),
    ({**INPUT, "padding": {"side": "left", "token": "<pad>", "length": 4}}, "padding: found 4, expected none"),
    (
        {**forecaster_fields(), "initial_state": "vector"},
        "initial_state: found \"vector\", expected 'zeros' or 'learned'",
    ),
]


@pytest.mark.parametrize(("fields", "message"), MISTAKES, ids=[message[:60] for _, message in MISTAKES])
def test_a_mistake_is_told_by_field_value_and_expectation(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFolderError) as error:
        with_state(fields, "place")
    assert message in str(error.value)
