"""Vectors in request bodies: alone or beside text, read at once, and refused by the place of the wrong number."""

from typing import Any

import pytest
from pydantic import ValidationError

from service.application.sessions.request_digest import digest
from service.domain.operations import Predict, TextInput
from service.http.schemas.inputs import Input


def test_a_vector_stands_alone_or_beside_text() -> None:
    for text in ({}, {"text": "How"}, {"tokens": ["How"]}, {"ids": [3]}):
        read = Input.model_validate({"vector": [1, -2.5], **text}).to_domain()
        assert isinstance(read, TextInput)
        assert read.vector == (1.0, -2.5)
        assert read.text == text.get("text")


@pytest.mark.parametrize(
    ("fields", "place", "expected"),
    [
        ({"vector": []}, ("vector",), "expected a list of at least one number"),
        ({"vector": [[1.0]]}, ("vector", 0), "expected a number"),
        ({"vector": [1, None]}, ("vector", 1), "expected a number"),
        ({"vector": [1, False]}, ("vector", 1), "expected a number"),
        ({"vector": [0, -2e12]}, ("vector", 1), "expected a number between -1e+12 and 1e+12"),
        ({"vector": [0, 10**400]}, ("vector", 1), "expected a number between"),
        ({"vector": [1.0], "tensors": {"a": [1]}}, ("vector",), "expected it alone, or beside text"),
        ({"vector": [1.0], "target": "x"}, (), "nothing given: expected exactly one of"),
    ],
    ids=str,
)
def test_a_wrong_vector_is_told_by_its_place(
    fields: dict[str, Any], place: tuple[str | int, ...], expected: str
) -> None:
    with pytest.raises(ValidationError) as error:
        Input.model_validate(fields)
    (detail,) = error.value.errors()
    assert detail["loc"] == place
    assert expected in detail["msg"]


def test_the_vector_is_a_part_of_the_digest_and_its_absence_is_none() -> None:
    plain = digest("step", Predict(TextInput("How")), None)
    assert plain == digest("step", Predict(TextInput("How", vector=None)), None)
    assert plain != digest("step", Predict(TextInput("How", vector=(1.0,))), None)
