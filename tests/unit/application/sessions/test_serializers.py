"""JSON encoding of responses."""

import json

import pytest

from service.application.sessions.serializers import encode


def test_answers_never_hold_a_number_that_is_not_finite() -> None:
    for number in ("nan", "inf", "-inf"):
        with pytest.raises(ValueError, match="not JSON compliant"):
            encode({"x": [{"y": float(number)}]})


def test_answers_hold_any_text() -> None:
    for text in ("NaN", "Infinity", "-Infinity", "ü \u2028 \0 \U0001f600", '"\\', ""):
        for number in (0.1, 1e-7, 1e22, 5e-324, -0.0, 2**70, True, None):
            value = {text: [text, number, {"tokens": []}]}
            assert json.loads(encode(value)) == value
    assert json.loads(encode({"half": "\ud800"})) == {"half": "?"}
