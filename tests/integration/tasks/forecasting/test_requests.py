"""Validation of the inputs and options of a forecaster."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.domain.errors import InputTooLong, InvalidRequest
from service.domain.operations import Generate, OpenSession, Operation, Predict, Score, SeriesInput, TextInput
from tests.forecast_folders import START
from tests.integration.tasks.forecasting.forecast_model import HALF_HOUR, Model, refusal, rows_of

STATIC: dict[str, Any] = {"features": ["a", "place"], "target": ["a"], "static": ["place"]}


def test_a_static_feature_need_not_be_repeated(tmp_path: Path) -> None:
    model = Model(tmp_path, **STATIC)
    repeated = model.run(Predict(SeriesInput(((100.0, 130.0), (101.0, 130.0)))))
    missing = model.run(Predict(SeriesInput(((100.0, 130.0), (101.0, None)))))
    assert missing.output == repeated.output


def test_a_static_feature_beyond_the_clamp_can_be_repeated(tmp_path: Path) -> None:
    model = Model(tmp_path, **STATIC)
    state = model.run(Predict(SeriesInput(((100.0, 1e6),)))).state
    assert model.run(Predict(SeriesInput(((101.0, 1e6),))), state).timesteps == 1


def test_a_static_feature_that_changes_is_refused(tmp_path: Path) -> None:
    model = Model(tmp_path, **STATIC)
    state = model.run(Predict(SeriesInput(((100.0, 130.0),)))).state
    message = refusal(model, SeriesInput(((99.0, 90.0),)), state)
    assert "input.values[0][1] | input.values[0][1] is 90: expected 130 as before" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "input.values | input.values is missing: expected at least one observation"),
        (SeriesInput(((1.0,), (1.0, 2.0))), "input.values[1] | input.values[1] has 2 numbers: expected 1 (load)"),
        (SeriesInput(((),)), "input.values[0] has 0 numbers"),
        (TextInput(text="warm"), "input.text | input.text is given: expected input.values"),
        (SeriesInput(rows_of(1.0), future=((1.0,),)), "input.future | input.future is given: expected none"),
        (SeriesInput(rows_of(1.0), timestamps=(1, 2)), "input.timestamps has 2 entries: expected 1"),
        (
            SeriesInput(rows_of(1.0, 2.0), timestamps=(START, START)),
            "input.timestamps[1] | input.timestamps[1] is ",
        ),
        (
            SeriesInput(rows_of(1.0, 2.0), timestamps=(START, START + 100_000_000)),
            "on the same step as 2025-06-22T22:30:00Z before it: expected one row every 30min",
        ),
        (
            SeriesInput(rows_of(1.0, 2.0), timestamps=(START, START + 60 * HALF_HOUR)),
            "60 steps of 30min after the observation before: expected at most 50 steps",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_error_for_an_invalid_input_names_the_field(tmp_path: Path, content: SeriesInput, message: str) -> None:
    assert message in refusal(Model(tmp_path), content)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 5}, "options.horizon | options.horizon is 5: expected at most 4, the model's limit"),
        ({"top_k": 3}, "options.top_k | options.top_k is 3: expected it to be left out, since forecasting has horizon"),
        ({"samples": 400_000}, "options.samples | options.samples is 400000: expected at most 50000 for 4 steps"),
    ],
    ids=str,
)
def test_the_error_for_an_invalid_option_names_it(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    assert message in refusal(Model(tmp_path), SeriesInput(rows_of(1.0)), **options)


@pytest.mark.parametrize("options", [{"quantiles": (0.5,)}, {"samples": 2}], ids=str)
def test_quantiles_and_samples_of_a_point_forecaster_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    model = Model(tmp_path, distribution="point")
    assert "expected none, since the model forecasts points" in refusal(model, SeriesInput(rows_of(1.0)), **options)


@pytest.mark.parametrize(
    ("future", "message"),
    [
        (None, "input.future is missing: expected one row of 1 (k) for each of the 4 steps ahead"),
        (((1.0,),) * 3, "input.future has 3 rows: expected one row of 1 (k)"),
        (((1.0, 2.0),) * 4, "input.future[0] has 2 numbers: expected one row of 1 (k)"),
    ],
)
def test_known_covariates_that_do_not_cover_the_horizon_are_refused(tmp_path: Path, future: Any, message: str) -> None:
    model = Model(tmp_path, features=["a", "k"], target=["a"], known=["k"], context={"size": 3}, local={"size": 3})
    assert message in refusal(model, SeriesInput(((1.0, 2.0),), future=future))


@pytest.mark.parametrize("operation_type", [Score, Generate, OpenSession])
def test_a_forecaster_refuses_other_operations(tmp_path: Path, operation_type: Callable[..., Operation]) -> None:
    with pytest.raises(InvalidRequest):
        Model(tmp_path).run(operation_type(SeriesInput(rows_of(1.0))))


def test_more_rows_than_the_limit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputTooLong, match=r"input\.values has 51 rows: expected at most 50"):
        Model(tmp_path).feed([[1.0]] * 51)
