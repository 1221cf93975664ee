"""JSON encoding of responses."""

import base64
import json

import pytest

from service.application.sessions.serializers import encode
from service.domain.operations import Base64


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


def test_bytes_of_answers_are_base64_and_can_be_read_again() -> None:
    data = bytes(range(256))
    for text in ("", "NaN"):
        encoded = json.loads(encode({text: [Base64(data)]}))[text][0]
        assert encoded == base64.b64encode(data).decode()
        assert Base64.bytes_of(encoded) == Base64.bytes_of(Base64(data)) == data
