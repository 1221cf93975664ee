"""Tensors of forecasters: what the numbers and times of clients become."""

import math
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.domain.errors import InvalidRequest
from service.domain.operations import PredictOptions
from service.domain.tensors import Tensor, make_tensor
from service.nets.config.forecaster_config import ForecasterConfig
from service.tasks.forecasting.tensors import ForecastingTensors

CONFIG = SimpleNamespace(features=["x", "y"], target=["x"], known=["k"], distribution="normal")
TENSORS = ForecastingTensors(cast("ForecasterConfig", CONFIG))


def tensor(name: str, shape: tuple[int, ...], elements: list[Any], datatype: str = "FP32") -> dict[str, Tensor]:
    return {name: make_tensor(name, datatype, shape, elements)}


def test_nan_and_numbers_beyond_any_measurement_are_missing() -> None:
    values = tensor("VALUES", (1, 2, 2), [1.0, math.nan, -math.inf, 2e30])
    (operation,) = TENSORS.operations(values, PredictOptions(), ("MEAN",))
    assert cast("Any", operation.input).values == ((1.0, None), (None, None))


def test_quantiles_that_are_not_needed_are_not_computed() -> None:
    values = tensor("VALUES", (1, 1, 2), [1.0, 2.0])
    (mean,) = TENSORS.operations(values, PredictOptions(), ("MEAN",))
    (both,) = TENSORS.operations(values, PredictOptions(), ("MEAN", "QUANTILES"))
    assert (mean.options.quantiles, both.options.quantiles) == ((), (0.1, 0.5, 0.9))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (tensor("VALUES", (1, 4), [1.0] * 4), r"expected \[batch, rows, 2\]"),
        (tensor("VALUES", (1, 4, 1), [1.0] * 4), r"expected \[batch, rows, 2\]"),
        (tensor("TIMESTAMPS", (1, 1), [2**62], "INT64"), "VALUES"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(inputs: dict[str, Tensor], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        TENSORS.operations(inputs, PredictOptions(), ("MEAN",))


@pytest.mark.parametrize("time", [2**62, -(2**62)])
def test_times_are_those_of_the_calendar(time: int) -> None:
    inputs = tensor("VALUES", (1, 1, 2), [1.0, 2.0]) | tensor("TIMESTAMPS", (1, 1), [time], "INT64")
    with pytest.raises(InvalidRequest, match="years 1 to 9999"):
        TENSORS.operations(inputs, PredictOptions(), ("MEAN",))


def test_covariates_that_are_known_in_advance_are_not_missing() -> None:
    inputs = tensor("VALUES", (1, 1, 2), [1.0, 2.0]) | tensor("FUTURE", (1, 1, 1), [math.nan])
    with pytest.raises(InvalidRequest, match="known in advance"):
        TENSORS.operations(inputs, PredictOptions(), ("MEAN",))
