"""Series in request bodies: what they become, and how each mistake is told."""

import json
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from service.application.sessions.request_digest import digest
from service.domain.errors import InvalidRequest
from service.domain.operations import Predict, PredictOptions, SeriesInput, TextInput
from service.domain.rfc3339 import parse_rfc3339
from service.http.json_body import invalid_request, parse
from service.http.schemas.inputs import Input
from service.http.schemas.requests import LookBody, PredictBody, StepBody, StepItem

NOON = 1_714_564_800_000_000  # 2024-05-01T12:00:00Z
HOUR = 3_600_000_000


def read(body: object, schema: type[BaseModel] = StepBody) -> Any:
    """A body as the routes read it: from bytes."""
    return schema.model_validate(parse(body if isinstance(body, bytes) else json.dumps(body).encode()))


def series(**given: Any) -> SeriesInput:
    found = read(given, Input).to_domain()
    assert isinstance(found, SeriesInput)
    return found


def refusal(body: object, schema: type[BaseModel] = StepBody) -> InvalidRequest:
    """The error that a client would get."""
    with pytest.raises(ValidationError) as caught:
        read(body, schema)
    return invalid_request(RequestValidationError(caught.value.errors()))


def test_numbers_are_rows_of_one_and_their_client_is_remembered() -> None:
    assert series(values=[1, None, 2.5]) == SeriesInput(((1.0,), (None,), (2.5,)), flat=True)


def test_rows_stay_rows() -> None:
    assert series(values=[[1, None], [0, -2]]) == SeriesInput(((1.0, None), (0.0, -2.0)))
    assert series(values=[[7], [None]]) == SeriesInput(((7.0,), (None,)))


def test_missing_values_alone_are_a_series() -> None:
    assert series(values=[None, None]).values == ((None,), (None,))


def test_a_whole_number_is_the_same_observation_as_a_fraction_of_none() -> None:
    found = series(values=[3]).values
    assert found == ((3.0,),)
    assert digest("step", series(values=[3])) == digest("step", series(values=[3.0]))
    assert isinstance((found or ())[0][0], float)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2024-05-01T12:00:00Z", NOON),
        ("2024-05-01T14:00:00+02:00", NOON),
        ("2024-05-01T06:30:00-05:30", NOON),
        ("2024-05-01t12:00:00z", NOON),
        ("2024-05-01 12:00:00Z", NOON),
        ("2024-05-01T12:00:00.000001Z", NOON + 1),
        ("2024-05-01T12:00:00.25Z", NOON + 250_000),
        ("1969-12-31T23:59:59Z", -1_000_000),
    ],
)
def test_a_time_of_any_offset_becomes_microseconds(written: str, expected: int) -> None:
    assert series(values=[1], timestamps=[written]).timestamps == (expected,)


def test_a_start_and_a_step_are_a_time_for_each_row() -> None:
    times = {"start": "2024-05-01T12:00:00Z", "step_seconds": 3600}
    assert series(values=[1, 2, 3], timestamps=times).timestamps == (NOON, NOON + HOUR, NOON + 2 * HOUR)
    times = {"start": "2024-05-01T12:00:00Z", "step_seconds": 0.5}
    assert series(values=[[1, 2], [3, 4]], timestamps=times).timestamps == (NOON, NOON + 500_000)


def test_fractions_of_a_second_do_not_add_up_to_an_error() -> None:
    times = {"start": "2024-05-01T12:00:00Z", "step_seconds": 1 / 3}
    found = series(values=[0] * 3001, timestamps=times).timestamps
    assert found is not None
    assert found[3000] == NOON + 1_000_000_000


def test_covariates_known_in_advance_are_rows_too() -> None:
    assert series(values=[[1, 2]], future=[0, 1]).future == ((0.0,), (1.0,))
    assert series(values=[[1, 2, 3]], future=[[0, 1], [1, 1]]).future == ((0.0, 1.0), (1.0, 1.0))


def test_future_may_stand_alone_where_a_session_is_only_looked_at() -> None:
    found = read({"input": {"future": [1, 2]}}, LookBody).to_domain()
    assert found == Predict(SeriesInput(None, future=((1.0,), (2.0,))))
    assert "expected exactly one of text, tokens, ids, values" in refusal({"input": {"future": [1, 2]}}).message
    assert "or future alone" in refusal({"input": {}}, LookBody).message


#: The body's input, the field told, the value told, and what is expected.
WRONG: list[tuple[dict[str, Any], str, str, str]] = [
    ({"values": []}, "input.values", "[]", "at least one"),
    ({"values": {}}, "input.values", "{}", "a list"),
    ({"values": "1,2"}, "input.values", '"1,2"', "a list"),
    ({"values": 5}, "input.values", "5", "a list"),
    ({"values": [[]]}, "input.values[0]", "[]", "at least one number"),
    ({"values": [1, "2"]}, "input.values[1]", '"2"', "a number, or null"),
    ({"values": [1, "NaN"]}, "input.values[1]", '"NaN"', "a number, or null"),
    ({"values": [True]}, "input.values[0]", "true", "a number, or null"),
    ({"values": [1, False]}, "input.values[1]", "false", "a number, or null"),
    ({"values": [1, {}]}, "input.values[1]", "{}", "a number, or null"),
    ({"values": [1, [2]]}, "input.values[1]", "[2]", "a number, or null"),
    ({"values": [None, [2]]}, "input.values[1]", "[2]", "a number, or null"),
    ({"values": [[1], 2]}, "input.values[1]", "2", "a row of 1"),
    ({"values": [[1], None]}, "input.values[1]", "null", "a row of 1"),
    ({"values": [[1, 2], [1, 2], [1]]}, "input.values[2]", "[1]", "a row of 2 as before it, found 1"),
    ({"values": [[1, 2], []]}, "input.values[1]", "[]", "a row of 2 as before it, found 0"),
    ({"values": [[1, 2], [3, "x"]]}, "input.values[1][1]", '"x"', "a number, or null"),
    ({"values": [[1, [2]]]}, "input.values[0][1]", "[2]", "a number, or null"),
    ({"values": [1, -1.1e30]}, "input.values[1]", "-1.1e+30", "between -1e+30 and 1e+30"),
    ({"values": [[0, 10**40]]}, "input.values[0][1]", str(10**40), "between -1e+30 and 1e+30"),
    ({"values": [1], "future": []}, "input.future", "[]", "at least one"),
    ({"values": [1], "future": [1, None]}, "input.future[1]", "null", "must be known in advance"),
    ({"values": [1], "future": [[1], [1, 2]]}, "input.future[1]", "[1, 2]", "a row of 1"),
    ({"values": [1], "future": [True]}, "input.future[0]", "true", "a number"),
    ({"values": [1], "target": []}, "input.target", "[]", "a text, a list of texts, a number"),
    ({"values": [1], "target": True}, "input.target", "true", "a text, a list of texts, a number"),
    ({"values": [1], "target": ["a", 1]}, "input.target[1]", "1", "a text as before it"),
    ({"values": [1], "target": [[1, 2], [1, "x"]]}, "input.target[1][1]", '"x"', "a number, or null"),
    ({"values": [1], "target": [[1], 2]}, "input.target[1]", "2", "a row of at least one number"),
    ({"values": [1], "target": [1, 1e31]}, "input.target[1]", "1e+31", "between -1e+30 and 1e+30"),
    ({"text": "a", "future": [1]}, "input.future", "[[1.0]]", "beside values only"),
    ({"ids": [1], "timestamps": ["2024-05-01T12:00:00Z"]}, "input.timestamps", "2024-05-01", "beside values only"),
    ({"text": "a", "values": [1]}, "input", "text and values given", "exactly one of text, tokens, ids, values"),
    ({}, "input", "nothing given", "exactly one of text, tokens, ids, values"),
    ({"values": None}, "input", "nothing given", "exactly one of text, tokens, ids, values"),
    ({"values": [1], "timestamp": []}, "input.timestamp", "", "left out"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "field", "value", "expected"), WRONG)
@pytest.mark.parametrize("schema", [PredictBody, StepBody, LookBody])
def test_a_wrong_input_is_told_by_field_value_and_expectation(
    schema: type[BaseModel], given: dict[str, Any], field: str, value: str, expected: str
) -> None:
    error = refusal({"input": given}, schema)
    assert error.param == field
    for part in (f"{field} is ", value, "expected", expected):
        assert part in error.message


#: `timestamps` of three rows, the place in it, the value told, and what is expected.
WRONG_TIMES: list[tuple[Any, str, str, str]] = [
    ([], "", "[]", "one for each row"),
    ("2024-05-01T12:00:00Z", "", '"2024', "a list of times"),
    (["2024-05-01T12:00:00", "x", "y"], "[0]", "12:00:00", "with its offset"),
    (["2024-05-01T12:00:00Z", "2024-05-01", "y"], "[1]", '"2024-05-01"', "RFC 3339"),
    (["2024-05-01T12:00:00Z", None, "y"], "[1]", "null", "RFC 3339"),
    (["2024-05-01T12:00:00Z", 1714564800, "y"], "[1]", "1714564800", "RFC 3339"),
    (["2024-02-30T12:00:00Z", "x", "y"], "[0]", "2024-02-30", "RFC 3339"),
    (["2024-05-01T25:00:00Z", "x", "y"], "[0]", "T25", "RFC 3339"),
    (["2024-05-01T12:00:00+25:00", "x", "y"], "[0]", "+25", "RFC 3339"),
    (["20240501T120000Z", "x", "y"], "[0]", "20240501T", "RFC 3339"),
    (["0000-05-01T12:00:00Z", "x", "y"], "[0]", "0000", "RFC 3339"),
    (["٢٠٢٤-05-01T12:00:00Z", "x", "y"], "[0]", "٢٠٢٤", "RFC 3339"),
    (["2024-05-01T12:00:00Z", "2024-05-01T13:00:00Z", "2024-05-01T13:00:00Z"], "[2]", "13:00", "a later time"),
    (["2024-05-01T12:00:00Z", "2024-05-01T13:00:00+02:00", "2024-05-01T13:00:00Z"], "[1]", "+02:00", "a later time"),
    (["2024-05-01T12:00:00Z"], "", "2024-05-01T12:00:00Z", "3 times, one for each row of values, found 1"),
    ({"start": "2024-05-01T12:00:00Z"}, "", "start", "step_seconds"),
    ({"step_seconds": 60}, "", "60", "start"),
    ({"start": "2024-05-01T12:00:00", "step_seconds": 60}, ".start", "12:00:00", "with its offset"),
    ({"start": "2024-05-01T12:00:00Z", "step_seconds": 0}, ".step_seconds", "0", "at least a millionth"),
    ({"start": "2024-05-01T12:00:00Z", "step_seconds": -60}, ".step_seconds", "-60", "at least a millionth"),
    ({"start": "2024-05-01T12:00:00Z", "step_seconds": "60"}, ".step_seconds", '"60"', "a number"),
    ({"start": "2024-05-01T12:00:00Z", "step_seconds": True}, ".step_seconds", "true", "a number"),
    ({"start": "2024-05-01T12:00:00Z", "step_seconds": 1e29}, ".step_seconds", "e+29", "before the year 10000"),
    ({"start": "2024-05-01T12:00:00Z", "step_seconds": 60, "end": 1}, ".end", "1", "no such field"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "place", "value", "expected"), WRONG_TIMES)
def test_wrong_times_are_told_by_entry(given: Any, place: str, value: str, expected: str) -> None:
    error = refusal({"input": {"values": [1, 2, 3], "timestamps": given}})
    assert error.param == f"input.timestamps{place}"
    for part in (f"input.timestamps{place} is ", value, "expected", expected):
        assert part in error.message


def test_a_number_that_overflows_is_refused_by_its_place() -> None:
    for number in (b"1e400", b"-1e999", b"9" * 400, b"9" * 5000):
        error = refusal(b'{"input": {"values": [1, %s]}}' % number)
        assert error.param == "input.values[1]"
        assert "expected a number between" in error.message
        assert len(error.message) < 200
    error = refusal(
        b'{"input": {"values": [1], "timestamps": {"start": "2024-05-01T12:00:00Z", "step_seconds": 1e400}}}'
    )
    assert error.param == "input.timestamps.step_seconds"


def test_the_first_of_many_mistakes_is_told() -> None:
    assert refusal({"input": {"values": [*range(5000), "a", "b"]}}).param == "input.values[5000]"


#: The option, the value told, its place, and what is expected.
WRONG_OPTIONS: list[tuple[str, Any, str, str]] = [
    ("horizon", 0, "", "greater than or equal to 1"),
    ("horizon", 1.0, "", "integer"),
    ("horizon", True, "", "integer"),
    ("quantiles", [], "", "at least 1"),
    ("quantiles", [0.0], "[0]", "greater than 0"),
    ("quantiles", [0.5, 1], "[1]", "less than 1"),
    ("quantiles", [0.5, 1.5], "[1]", "less than 1"),
    ("quantiles", [-0.1], "[0]", "greater than 0"),
    ("quantiles", ["0.5"], "[0]", "number"),
    ("quantiles", [True], "[0]", "number"),
    ("quantiles", 0.5, "", "list"),
    ("quantiles", [0.5, 0.1, 0.5], "", "0.5 stands twice: expected each level once"),
    ("quantiles", [at / 200 for at in range(1, 101)], "", "at most 99"),
    ("samples", -1, "", "greater than or equal to 0"),
    ("samples", 1001, "", "less than or equal to 1000"),
    ("samples", 1.5, "", "integer"),
    ("seed", -1, "", "greater than or equal to 0"),
    ("seed", 2**63, "", "less than"),
    ("seed", "1", "", "integer"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "place", "expected"), WRONG_OPTIONS)
@pytest.mark.parametrize("schema", [PredictBody, StepBody, LookBody])
def test_a_wrong_option_is_told_by_name(
    schema: type[BaseModel], name: str, value: Any, place: str, expected: str
) -> None:
    error = refusal({"input": {"values": [1]}, "options": {name: value}}, schema)
    assert error.param == f"options.{name}{place}"
    assert "expected" in error.message
    assert expected in error.message


def test_options_of_a_forecast_are_read() -> None:
    given = {"horizon": 3, "quantiles": [0.9, 0.25], "samples": 7, "seed": 5}
    options = read({"input": {"values": [1]}, "options": given}).options.to_domain()
    assert options == PredictOptions(horizon=3, quantiles=(0.9, 0.25), samples=7, seed=5)
    assert options.given == given.keys()
    assert read({"input": {"values": [1]}}).options.to_domain() == PredictOptions()


def test_every_step_of_many_brings_its_own_series() -> None:
    item = read({"session_id": "s", "input": {"values": [1]}, "step": 4}, StepItem).to_step()
    assert item.operation == Predict(SeriesInput(((1.0,),), flat=True))


# Digests: what makes a repetition.


def test_digests_tell_series_apart_by_all_that_counts() -> None:
    different = [
        series(values=[1, 2]),
        series(values=[2, 1]),
        series(values=[[1], [2]]),
        series(values=[[1, 2]]),
        series(values=[1, None]),
        series(values=[1, 2], timestamps={"start": "2024-05-01T12:00:00Z", "step_seconds": 60}),
        series(values=[1, 2], timestamps={"start": "2024-05-01T12:00:00Z", "step_seconds": 61}),
        series(values=[1, 2], future=[1]),
        series(values=[1, 2], future=[[2]]),
    ]
    assert len({digest("step", Predict(one), 0) for one in different}) == len(different)


def test_times_written_differently_are_the_same_request() -> None:
    listed = series(values=[1, 2], timestamps=["2024-05-01T12:00:00Z", "2024-05-01T15:00:00+02:00"])
    counted = series(values=[1, 2], timestamps={"start": "2024-05-01T12:00:00.0Z", "step_seconds": 3600.0})
    assert digest("step", listed) == digest("step", counted)


def test_digests_of_text_are_those_of_earlier_releases() -> None:
    """A step taken before an update is recognised when it is repeated after it."""
    of_text = digest("step", Predict(TextInput(text="How are"), PredictOptions()), 0)
    assert of_text.hex() == "df9ea7384016cc99b0797398fc7bc93f"
    of_ids = digest("step", Predict(TextInput(ids=(3, 4)), PredictOptions(top_k=3)), None)
    assert of_ids.hex() == "246478a6bedd704f9ef17dc5f8442d69"
    body = read({"input": {"text": "How are"}, "step": 0})
    assert body.to_domain("ses_x", None).identity().body == of_text


def test_a_time_without_an_offset_is_utc_only_where_that_is_agreed() -> None:
    assert parse_rfc3339("2024-05-01 12:00:00", naive=True) == NOON
    with pytest.raises(ValueError, match="form"):
        parse_rfc3339("2024-05-01 12:00:00")
