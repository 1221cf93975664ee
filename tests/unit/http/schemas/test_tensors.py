"""Tensors in request bodies."""

from typing import Any

import pytest
from pydantic import ValidationError

from service.domain.errors import InvalidRequest
from service.domain.operations import TensorInput
from service.http.json_body import invalid_request
from service.http.schemas.requests import StepBody


def read(tensors: Any, **fields: Any) -> TensorInput:
    domain = StepBody.model_validate({"input": {"tensors": tensors, **fields}}).input.to_domain()
    assert isinstance(domain, TensorInput)
    return domain


def refusal(body: Any) -> InvalidRequest:
    with pytest.raises(ValidationError) as refused:
        StepBody.model_validate(body)
    return invalid_request(refused.value)


@pytest.mark.parametrize(
    ("value", "datatype", "shape", "elements"),
    [
        (3, "INT64", (), (3,)),
        ([1, 2], "INT64", (2,), (1, 2)),
        ([[1, 2.5]], "FP64", (1, 2), (1.0, 2.5)),
        ([[[True]], [[False]]], "BOOL", (2, 1, 1), (True, False)),
        ([2**64 - 1], "UINT64", (1,), (2**64 - 1,)),
    ],
)
def test_the_datatype_follows_from_the_numbers(value: Any, datatype: str, shape: Any, elements: Any) -> None:
    (tensor,) = read({"x": value}).tensors
    assert (tensor.name, tensor.datatype, tensor.shape, tensor.elements()) == ("x", datatype, shape, elements)


def test_steps_are_asked_for_beside_the_tensors() -> None:
    assert [read({"x": [1]}).steps, read({"x": [1]}, steps=True).steps] == [False, True]


@pytest.mark.parametrize(
    ("tensors", "param", "mention"),
    [
        ([], "input.tensors", "an object of 1 to 64 tensors"),
        ({}, "input.tensors", "an object of 1 to 64 tensors"),
        ({"x": []}, "input.tensors.x", "at least one number"),
        ({"x": [[], []]}, "input.tensors.x", "at least one number"),
        ({"x": [[1, 2], [3]]}, "input.tensors.x", "[3]: expected lists of 2 at depth 1"),
        ({"x": [[1], 2]}, "input.tensors.x", "expected lists of 1 at depth 1"),
        ({"x": [1, [2]]}, "input.tensors.x", "expected numbers only"),
        ({"x": ["1"]}, "input.tensors.x", '"1": expected numbers only'),
        ({"x": [None, 1]}, "input.tensors.x", "expected numbers only"),
        ({"x": [True, 1]}, "input.tensors.x", "expected numbers only"),
        ({"x": [2**64]}, "input.tensors.x", "int64 or uint64"),
        ({"x": [2**63, -1]}, "input.tensors.x", "int64 or uint64"),
        ({"x": [10**400, 0.5]}, "input.tensors.x", "float64"),
        ({"x": [[[[[[[[[[[1]]]]]]]]]]]}, "input.tensors.x", "at most 10 axes"),
        ({"x\x00": [1]}, "input.tensors", "printable"),
        ({"x" * 257: [1]}, "input.tensors", "at most 256"),
    ],
)
def test_what_is_no_tensor_is_refused_with_its_place(tensors: Any, param: str, mention: str) -> None:
    error = refusal({"input": {"tensors": tensors}})
    assert (error.param, mention in error.message) == (param, True), error.message


@pytest.mark.parametrize(
    ("fields", "mention"),
    [
        ({"tensors": {"x": [1]}, "text": "a"}, "text and tensors given"),
        ({"text": "a", "steps": True}, "expected it beside tensors only"),
        ({"tensors": {"x": [1]}, "timestamps": ["2024-01-01T00:00:00Z"]}, "expected it beside values only"),
        ({"tensors": {"x": [1]}, "future": [1]}, "expected it beside values only"),
        ({"tensors": {"x": [1]}, "target": "a"}, "expected it beside text or values"),
    ],
)
def test_tensors_come_alone(fields: Any, mention: str) -> None:
    assert mention in refusal({"input": fields}).message
