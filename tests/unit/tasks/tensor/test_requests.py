"""Tensors of a request beside those that a graph declares."""

from typing import Any

import numpy as np
import pytest

from service.domain.errors import InputTooLong, InvalidRequest
from service.domain.operations import Generate, OpenSession, Predict, PredictOptions, Score, TensorInput, TextInput
from service.domain.tensors import Tensor, make_tensor
from service.tasks.tensor.requests import RequestReader, TensorRequest
from tests.registered import build_config

CONFIG: dict[str, Any] = {
    "format_version": 1,
    "task": "tensor",
    "architecture": "onnx",
    "inputs": [
        {"name": "x", "dtype": "float32", "shape": ["batch", "time", 2]},
        {"name": "n", "dtype": "int8", "shape": ["batch", "time"]},
    ],
    "outputs": [{"name": "y", "shape": ["batch", 1]}],
}


def tensor(name: str, value: Any, datatype: str | None = None) -> Tensor:
    array = np.array(value)
    kinds = {"f": "FP64", "i": "INT64", "b": "BOOL", "u": "UINT64"}
    return make_tensor(name, datatype or kinds[array.dtype.kind], array.shape, array.flatten().tolist())


def read(x: Any, n: Any, *more: Tensor, steps: bool = False, limit: int = 10, config: Any = None) -> TensorRequest:
    given = TensorInput((tensor("x", x), tensor("n", n), *more), steps=steps)
    return RequestReader(build_config(config or CONFIG, "config.json"), limit).read(Predict(given))


@pytest.mark.parametrize(("x", "n", "full"), [([[1.0, 2.0]], [3], False), ([[[1.0, 2.0]]], [[3]], True)])
def test_the_batch_axis_may_be_left_out(x: Any, n: Any, full: bool) -> None:
    request = read(x, n)
    assert [array.shape for array in request.rows] == [(1, 1, 2), (1, 1)]
    assert [array.dtype.name for array in request.rows] == ["float32", "int8"]
    assert (request.full, request.timesteps, request.outputs) == (full, 1, ("y",))


def test_steps_have_an_axis_of_their_own_in_front() -> None:
    request = read(np.zeros((4, 3, 2)), np.zeros((4, 3), int), steps=True)
    assert [array.shape for array in request.rows] == [(4, 3, 2), (4, 3)]
    assert (request.timesteps, request.steps) == (3, True)


def test_steps_may_be_an_option() -> None:
    given = TensorInput((tensor("x", np.zeros((4, 3, 2))), tensor("n", np.zeros((4, 3), int))))
    options = PredictOptions(steps=True, given=frozenset({"steps"}))
    assert RequestReader(build_config(CONFIG, "config.json"), 10).read(Predict(given, options)).steps


@pytest.mark.parametrize(
    ("x", "n", "param", "mention"),
    [
        ([[1.0]], [3], "input.tensors.x", "shape [1, 1]: expected [1, time, 2] or [time, 2]"),
        ([[1.0, 2.0]], [3, 4], "input.tensors.n", "shape [2]: expected [1, time] or [time], time = 1"),
        (1.0, [3], "input.tensors.x", "shape []"),
        ([[[1.0, 2.0]], [[1.0, 2.0]]], [[3], [3]], "input.tensors.x", "shape [2, 1, 2]"),
        ([[1.0, 2.0]], [3.0], "input.tensors.n", "is of numbers with a fraction: expected integers, as int8 holds"),
        ([[1.0, 2.0]], [True], "input.tensors.n", "is of true or false: expected integers"),
        ([[True, False]], [1], "input.tensors.x", "is of true or false: expected numbers"),
        ([[1.0, 2.0]], [200], "input.tensors.n", "holds 200 at 0: expected a number that int8 holds"),
        ([[1.0, 1e39]], [1], "input.tensors.x", "holds 1e+39 at 1: expected a number that float32 holds"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_with_their_place(x: Any, n: Any, param: str, mention: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(x, n)
    assert (refused.value.param, mention in refused.value.message) == (param, True), refused.value.message


def test_integers_are_numbers() -> None:
    assert read([[1, 2]], [3]).rows[0].dtype == np.float32


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(number: float) -> None:
    with pytest.raises(InvalidRequest, match="expected a number that float32 holds"):
        read([[1.0, number]], [1])


def test_halves_are_converted() -> None:
    given = TensorInput((tensor("x", [[1.5, 2.0]], "BF16"), tensor("n", [1])))
    rows = RequestReader(build_config(CONFIG, "config.json"), 10).read(Predict(given)).rows
    assert rows[0].tolist() == [[[1.5, 2.0]]]


def test_missing_and_unknown_tensors_are_refused() -> None:
    config = build_config(CONFIG, "config.json")
    with pytest.raises(InvalidRequest, match=r"input\.tensors\.n is missing: expected the tensors x, n"):
        RequestReader(config, 10).read(Predict(TensorInput((tensor("x", [[1.0, 2.0]]),))))
    with pytest.raises(InvalidRequest, match=r"input\.tensors\.z is given: expected only x, n"):
        read([[1.0, 2.0]], [1], tensor("z", [1]))


def test_too_many_steps_are_refused() -> None:
    with pytest.raises(InputTooLong, match="has 11 timesteps: expected at most 10"):
        read(np.zeros((11, 1, 2)), np.zeros((11, 1), int), steps=True)


def test_all_inputs_have_the_same_steps() -> None:
    with pytest.raises(InvalidRequest, match="has 2 timesteps: expected 3, as x has"):
        read(np.zeros((3, 1, 2)), np.zeros((2, 1), int), steps=True)


@pytest.mark.parametrize(
    ("operation", "mention"),
    [
        (Score(TextInput(text="a")), "expected predict or a step"),
        (Generate(TextInput(text="a")), "expected predict or a step"),
        (OpenSession(TextInput(text="a")), "input is given: expected none"),
        (Predict(TextInput(text="a")), "input.text is given: expected input.tensors"),
        (Predict(None), "input is missing: expected input.tensors with x, n"),
        (Predict(TextInput(text="a"), PredictOptions(top_k=3)), "options.top_k is 3"),
    ],
)
def test_other_operations_are_refused(operation: Any, mention: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        RequestReader(build_config(CONFIG, "config.json"), 10).read(operation)
    assert mention in refused.value.message
