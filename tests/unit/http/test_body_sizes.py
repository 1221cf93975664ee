"""Sizes of a body are bounded before its contents are validated."""

from typing import Any

import pytest

from service.domain.errors import InputTooLong, InvalidRequest, UnrollError
from service.http.body_sizes import MAX_FIELDS, SizeLimits, check_sizes

LIMITS = SizeLimits(items=3, characters=10)
WRONG = [
    ({"input": {"tokens": ["a"] * 4}}, InputTooLong, "input.tokens has 4 tokens: expected at most 3"),
    ({"input": {"ids": [1] * 4}}, InputTooLong, "input.ids has 4 tokens: expected at most 3"),
    ({"input": {"values": [1] * 4}}, InputTooLong, "input.values has 4 rows: expected at most 3"),
    ({"input": {"timestamps": [""] * 4}}, InputTooLong, "input.timestamps has 4 entries"),
    ({"input": {"future": [[1]] * 4}}, InputTooLong, "input.future has 4 rows"),
    (
        {"input": {"text": "a" * 11}},
        InputTooLong,
        "input.text has 11 characters: expected at most 10 (UNROLL_MAX_INPUT_CHARACTERS)",
    ),
    ({"input": {"text": "a", "target": "a" * 11}}, InputTooLong, "input.target has 11 characters"),
    ({"inputs": [{}, {"ids": [1] * 4}]}, InputTooLong, "inputs[1].ids has 4 tokens"),
    ({"steps": [{"input": {"ids": [1] * 4}}]}, InputTooLong, "steps[0].input.ids has 4 tokens"),
]
MANY = {str(index): 0 for index in range(MAX_FIELDS + 1)}


@pytest.mark.parametrize(("body", "kind", "message"), WRONG)
def test_what_is_too_long_is_named(body: dict[str, Any], kind: type[UnrollError], message: str) -> None:
    with pytest.raises(kind) as refused:
        check_sizes(body, LIMITS)
    assert message in refused.value.message
    assert refused.value.param == message.partition(" ")[0]


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (MANY, "the body"),
        ({"input": MANY}, "input"),
        ({"options": MANY}, "options"),
        ({"steps": [{"input": {}}, {"options": MANY}]}, "steps[1].options"),
        ({"inputs": [MANY]}, "inputs[0]"),
    ],
)
def test_objects_of_too_many_fields_are_named(body: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_sizes(body, LIMITS)
    assert refused.value.message == f"{name} has {MAX_FIELDS + 1} fields: expected at most {MAX_FIELDS}"


@pytest.mark.parametrize(
    "body",
    [
        None,
        [1] * 100,
        {"input": {"text": "a" * 10, "ids": [1, 2, 3]}},
        {"input": "a" * 100, "inputs": "a" * 100, "steps": [None, 7, "a" * 100]},
        {"inputs": {"ids": [1] * 100}},
    ],
)
def test_what_is_small_or_no_request_at_all_passes(body: object) -> None:
    check_sizes(body, LIMITS)
