"""Forecasting over HTTP: streams of observations on small networks with random weights, and all that can be wrong."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.folders import write_language_model
from tests.forecast_folders import write_forecaster
from tests.metrics import Metrics
from tests.rounding import FORECAST, PROBABILITY
from tests.server import Body, Server, answered, envelope, look_up, new_session, post, refusal, short_folder

SITE = ["load", "wind", "open", "size"]
#: What a forecast may differ by, in the units of the test models, whose scales are 20 and more.
CLOSE = 20 * FORECAST
FUTURE = [[0], [1], [1], [0]]
MAX_ROWS = 64
CODES = {413: "input_too_long", 422: "invalid_request"}
POINTS = "/v1/models/points/predict"


@pytest.fixture(scope="module")
def forecasting() -> Iterator[Server]:
    with short_folder() as folder:
        models = folder / "models"
        write_forecaster(models, "sensor")
        write_forecaster(models, "points", distribution="point", frequency=None)
        write_forecaster(models, "walk", distribution="student_t", decoding="autoregressive")
        write_forecaster(
            models,
            "site",
            features=SITE,
            target=["load", "wind"],
            known=["open"],
            static=["size"],
            calendar=["hour_of_day", "day_of_week"],
            distribution="quantiles",
            quantiles=[0.05, 0.5, 0.95],
            context={"size": 6, "activation": "tanh"},
            local={"size": 5, "activation": "tanh"},
            missing_indicator=True,
            preprocessor={"mean": [100, 105, 0.5, 130], "scale": [20, 10, 0.5, 20]},
        )
        write_forecaster(models, "meter")
        write_language_model(models, "words")
        with Server(folder, models=models, workers=2, max_input_tokens=MAX_ROWS) as server:
            yield server


@pytest.fixture(scope="module")
def http(forecasting: Server) -> Iterator[httpx.Client]:
    with forecasting.client() as client:
        yield client


def feed(http: httpx.Client, session: str, values: object, *, key: str | None = None, **fields: Any) -> httpx.Response:
    """A step of the session; `timestamps` and `future` belong to its input."""
    own = {name: fields.pop(name) for name in ("timestamps", "future") if name in fields}
    return post(http, f"/v1/sessions/{session}/steps", {"input": {"values": values, **own}, **fields}, key=key)


def forecast(http: httpx.Client, model: str, values: object, options: Body | None = None, **own: Any) -> Body:
    """What the model answers to the whole series without a session."""
    body = {"input": {"values": values, **own}, **({} if options is None else {"options": options})}
    output: Body = answered(post(http, f"/v1/models/{model}/predict", body))["output"]
    return output


def look(http: httpx.Client, session: str, body: object = None) -> Body:
    output: Body = answered(post(http, f"/v1/sessions/{session}/predict", body))["output"]
    return output


def load(count: int, start: int = 0) -> list[float | None]:
    """Readings of one sensor, the fifth of each ten missing."""
    return [None if at % 10 == 4 else 100.0 + (7 * at) % 23 for at in range(start, start + count)]


def site(count: int, start: int = 0) -> list[list[float | None]]:
    return [
        [one, 105.0 + at % 5, float(at % 2), 130.0 if at == 0 else None] for at, one in enumerate(load(count), start)
    ]


def hours(count: int, start: int = 0) -> list[str]:
    """Half an hour apart, in another offset than UTC's."""
    minutes = [30 * at for at in range(start, start + count)]
    return [f"2024-05-0{1 + m // 1440}T{m // 60 % 24:02d}:{m % 60:02d}:00+02:00" for m in minutes]


def numbers(value: object) -> list[float]:
    """All numbers of an answer, in order."""
    if isinstance(value, dict):
        return [number for name in sorted(value) for number in numbers(value[name])]
    if isinstance(value, list):
        return [number for part in value for number in numbers(part)]
    return [float(value)] if isinstance(value, int | float) else []


def assert_same_forecast(found: Body, expected: Body) -> None:
    """Both say the same of what comes next; what they observed may be of other rows."""
    assert found.keys() == expected.keys()
    for name in found.keys() - {"observed"}:
        assert numbers(found[name]) == pytest.approx(numbers(expected[name]), abs=CLOSE), name


# Without a session.


def test_a_forecast_has_mean_and_quantiles_in_the_shape_of_the_values(http: httpx.Client) -> None:
    body = answered(post(http, "/v1/models/sensor/predict", {"input": {"values": load(9)}}))
    output = body["output"]
    assert body["usage"] == {"timesteps": 9}
    assert output.keys() == {"horizon", "features", "mean", "quantiles", "observed"}
    assert (output["horizon"], output["features"]) == (4, ["load"])
    assert list(output["quantiles"]) == ["0.1", "0.5", "0.9"]
    assert all(isinstance(one, float) for one in output["mean"])
    assert len(output["mean"]) == 4
    for low, middle, high in zip(*output["quantiles"].values(), strict=True):
        assert low < middle < high
    rows = forecast(http, "sensor", [[one] for one in load(9)])
    assert rows["mean"] == [[one] for one in output["mean"]]


def test_what_was_observed_is_scored_row_by_row(http: httpx.Client) -> None:
    observed = forecast(http, "sensor", load(9))["observed"]
    scores = observed["anomaly_scores"]
    assert [score is None for score in scores] == [at in {0, 4} for at in range(9)]
    assert all(0 <= score <= 1 for score in scores if score is not None)
    assert observed["mean_absolute_error"] > 0
    assert forecast(http, "sensor", [101.5])["observed"] is None
    wild = forecast(http, "sensor", [100, 101, 1000])["observed"]["anomaly_scores"]
    assert wild[2] > 0.99 > wild[1]


def test_options_choose_horizon_quantiles_and_samples(http: httpx.Client) -> None:
    options = {"horizon": 2, "quantiles": [0.95, 0.05], "samples": 3, "seed": 7}
    output = forecast(http, "sensor", load(9), options)
    assert output["horizon"] == len(output["mean"]) == 2
    assert list(output["quantiles"]) == ["0.95", "0.05"]
    assert [len(path) for path in output["samples"]] == [2, 2, 2]
    assert forecast(http, "sensor", load(9), options) == output
    assert forecast(http, "sensor", load(9), {**options, "seed": 8})["samples"] != output["samples"]


@pytest.mark.parametrize("model", ["sensor", "walk"])
def test_several_series_are_forecast_at_once_each_as_if_alone(http: httpx.Client, model: str) -> None:
    given = [load(5), load(8, 3), [100], [None, 120.5]]
    options = {"seed": 3, "samples": 2}
    body = {"inputs": [{"values": one} for one in given], "options": options}
    outputs = answered(post(http, f"/v1/models/{model}/predict", body))["outputs"]
    for values, output in zip(given, outputs, strict=True):
        assert_same_forecast(output, forecast(http, model, values, options))


def test_rows_times_and_known_covariates_make_a_forecast_of_several_targets(http: httpx.Client) -> None:
    output = forecast(http, "site", site(6), timestamps=hours(6), future=FUTURE)
    assert output["features"] == ["load", "wind"]
    assert [len(row) for row in output["mean"]] == [2, 2, 2, 2]
    even = {"start": "2024-04-30T22:00:00Z", "step_seconds": 1800}
    assert forecast(http, "site", site(6), timestamps=even, future=[0, 1, 1, 0]) == output
    other = forecast(http, "site", site(6), timestamps=even, future=[1, 0, 0, 1])
    assert other["mean"] != output["mean"]


def test_a_constant_series_and_one_of_missing_values_are_answered(http: httpx.Client) -> None:
    for model in ("sensor", "walk"):
        for values in ([120.0] * 20, [None] * 20, [None]):
            output = forecast(http, model, values)
            assert len(numbers(output["mean"])) == 4
        assert output["observed"] is None
    rows = [[None] * 4] * 5
    output = forecast(http, "site", rows, timestamps=hours(5), future=FUTURE)
    assert len(numbers(output["mean"])) == 8


def test_extreme_values_are_answered_with_finite_numbers(http: httpx.Client) -> None:
    for model in ("sensor", "walk", "points"):
        for values in ([1e30, -1e30, 1e30], [0, 1e-300, -0.0]):
            assert len(numbers(forecast(http, model, values)["mean"])) == 4


def test_a_model_of_points_has_no_quantiles(http: httpx.Client) -> None:
    output = forecast(http, "points", load(5))
    assert output["quantiles"] == {}
    assert output["observed"]["anomaly_scores"] == [None] * 5


# Sessions.


@pytest.mark.parametrize("model", ["sensor", "walk"])
def test_one_by_one_in_blocks_and_at_once_are_the_same_forecast(http: httpx.Client, model: str) -> None:
    values, options = load(12), {"seed": 1, "samples": 2}
    whole = forecast(http, model, values, options)
    for size in (1, 5, 12):
        session, scores = new_session(http, model), []
        for at in range(0, 12, size):
            result = answered(feed(http, session, values[at : at + size], step=at // size, options=options))
            seen = result["output"]["observed"]
            scores += [None] * len(values[at : at + size]) if seen is None else seen["anomaly_scores"]
        assert result["timesteps"] == 12
        assert_same_forecast(result["output"], whole)
        assert scores == [
            None if anomaly_score is None else pytest.approx(anomaly_score, abs=PROBABILITY)
            for anomaly_score in whole["observed"]["anomaly_scores"]
        ]
        assert_same_forecast(look(http, session, {"options": options}), whole)


def test_pieces_with_times_and_covariates_are_the_whole(http: httpx.Client) -> None:
    session, values, times = new_session(http, "site"), site(7), hours(7)
    for start, end in ((0, 1), (1, 4), (4, 7)):
        result = answered(feed(http, session, values[start:end], timestamps=times[start:end], future=FUTURE))
    assert_same_forecast(result["output"], forecast(http, "site", values, timestamps=times, future=FUTURE))


def test_many_sensors_step_in_one_request(http: httpx.Client) -> None:
    sessions = [new_session(http, "sensor") for _ in range(40)]
    for first in (0, 3):
        items = [
            {"session_id": session, "input": {"values": load(3, first + at)}, "step": first // 3}
            for at, session in enumerate(sessions)
        ]
        results = answered(post(http, "/v1/sessions/steps", {"steps": items}))["results"]
        assert [result["session_id"] for result in results] == sessions
        assert {result["step"] for result in results} == {first // 3 + 1}
    for at in (0, 17, 39):
        assert_same_forecast(results[at]["output"], forecast(http, "sensor", load(6, at)))


def test_one_bad_sensor_among_many_fails_alone(http: httpx.Client) -> None:
    good, bad = new_session(http, "sensor"), new_session(http, "sensor")
    items = [{"session_id": bad, "input": {"values": [[1, 2]]}}, {"session_id": good, "input": {"values": [1]}}]
    first, second = answered(post(http, "/v1/sessions/steps", {"steps": items}))["results"]
    error = envelope(first["error"], 422, "invalid_request", "input.values[0] has 2 numbers: expected 1 (load)")
    assert error["applied"] == "no"
    assert second["step"] == 1
    assert (look_up(http, bad)["step"], look_up(http, good)["step"]) == (0, 1)


def test_another_future_asks_what_if_and_moves_nothing(http: httpx.Client) -> None:
    session = new_session(http, "site")
    first = answered(feed(http, session, site(6), timestamps=hours(6), future=FUTURE))["output"]
    before = look_up(http, session)
    same, other = (look(http, session, {"input": {"future": future}}) for future in (FUTURE, [[5], [5], [5], [5]]))
    assert_same_forecast(same, first)
    assert numbers(other["mean"]) != pytest.approx(numbers(first["mean"]), abs=CLOSE)
    assert look_up(http, session) == before


def test_a_fork_goes_another_way_from_where_its_parent_stands(http: httpx.Client) -> None:
    session = new_session(http, "site")
    answered(feed(http, session, site(6), timestamps=hours(6), future=FUTURE))
    child = answered(post(http, f"/v1/sessions/{session}/fork", {}), 201)["id"]
    row = [[90, 120, 1, None]]
    steps = [answered(feed(http, one, row, timestamps=hours(1, 6), future=FUTURE)) for one in (session, child)]
    assert_same_forecast(steps[0]["output"], steps[1]["output"])
    answered(feed(http, child, [[300, 120, 1, None]], timestamps=hours(1, 7), future=FUTURE))
    assert look_up(http, session)["step"] == 2
    assert_same_forecast(look(http, session, {"input": {"future": FUTURE}}), steps[0]["output"])


def test_a_repeated_step_is_answered_byte_for_byte_and_applied_once(http: httpx.Client) -> None:
    session, options = new_session(http, "sensor"), {"samples": 2}
    first = feed(http, session, [101, None, 99.5], key="a", options=options)
    again = feed(http, session, [101.0, None, 99.5], key="a", options=options)
    assert again.headers["unroll-replayed"] == "true"
    assert again.content == first.content
    refusal(feed(http, session, [101, None, 99.6], key="a", options=options), 422, "idempotency_key_reused")
    second = feed(http, session, [100], step=1)
    assert feed(http, session, [100], step=1).content == second.content
    assert look_up(http, session)["timesteps"] == 4
    refusal(feed(http, session, [[100]], step=1), 409, "step_conflict")


def test_a_look_may_bring_observations_without_keeping_them(http: httpx.Client) -> None:
    session = new_session(http, "sensor")
    answered(feed(http, session, load(4)))
    assert_same_forecast(look(http, session, {"input": {"values": load(2, 4)}}), forecast(http, "sensor", load(6)))
    assert look_up(http, session)["timesteps"] == 4


def test_steps_left_out_of_a_regular_series_are_missing_values(http: httpx.Client) -> None:
    times = hours(6)
    holes = forecast(http, "sensor", [100, 110, 105], timestamps=[times[0], times[2], times[5]])
    whole = forecast(http, "sensor", [100, None, 110, None, None, 105], timestamps=times)
    assert_same_forecast(holes, whole)
    assert len(holes["observed"]["anomaly_scores"]) == 3


def test_metrics_count_errors_and_scores_by_model(http: httpx.Client) -> None:
    names = ["observed_values_total", "observed_absolute_error_total", "anomaly_score_count", "timesteps_total"]
    before = Metrics(http)
    observed = forecast(http, "meter", [100, 103, None, 99])["observed"]
    after = Metrics(http)
    found = [after.value(name, model="meter") - before.value(name, model="meter") for name in names]
    assert found == pytest.approx([2, 2 * observed["mean_absolute_error"], 2, 4], rel=1e-4)


# Whatever is wrong.

ROW = [100, 105, 0, 130]
TIMED = {"timestamps": hours(1, 6), "future": FUTURE}
ZONE = "+02:00"


def wrong(
    name: str, *mentions: str, options: Body | None = None, without: str = "", status: int = 422, **changes: Any
) -> Any:
    """A request to `site` that is right but for the `changes` of its input, and what its refusal mentions."""
    given = {"values": [ROW], **TIMED, **changes}
    given.pop(without, None)
    return pytest.param({"input": given, "options": options or {}}, mentions, status, id=name)


WRONG = [
    wrong("a narrow row", "input.values[0] has 3 numbers: expected 4 (load, wind, open, size)", values=[ROW[:3]]),
    wrong("a wide row", "input.values[0] has 5 numbers: expected 4", values=[[*ROW, 1]]),
    wrong("numbers for rows", "input.timestamps is", "expected 4 times, one for each row", values=ROW),
    wrong("a ragged row", "input.values[1] is", "expected a row of 4", "found 3", values=[ROW, ROW[:3]]),
    wrong("text", 'input.values[0][1] is "105": expected a number', values=[[100, "105", 0, 1]]),
    wrong("a truth", "input.values[0][1] is true: expected a number", values=[[100, True, 0, 1]]),
    wrong("NaN as text", 'input.values[0][1] is "NaN": expected a number, or null', values=[[100, "NaN", 0, 1]]),
    wrong("an empty list", "input.values is []: expected a list of at least one number", values=[]),
    wrong("an empty row", "input.values[0] is []: expected a row of at least one", values=[[]]),
    wrong("too large", "input.values[0][0] is 1.5e+30: expected a number between", values=[[1.5e30, 1, 1, 1]]),
    wrong("too far ahead", "options.horizon is 5: expected at most 4", options={"horizon": 5}),
    wrong("no horizon", "options.horizon is 0: expected", options={"horizon": 0}),
    wrong("too many samples", "options.samples is 1001: expected", options={"samples": 1001}),
    wrong("a quantile of 1", "options.quantiles[1] is 1: expected", options={"quantiles": [0.5, 1]}),
    wrong("a quantile of 0", "options.quantiles[0] is 0.0: expected", options={"quantiles": [0.0]}),
    wrong("a quantile twice", "options.quantiles is", "expected each level once", options={"quantiles": [0.5, 0.5]}),
    wrong("no quantiles", "options.quantiles is []: expected", options={"quantiles": []}),
    wrong("a seed as text", 'options.seed is "1": expected', options={"seed": "1"}),
    wrong("options of words", "options.top_k is 5: expected it to be left out", options={"top_k": 5}),
    wrong("no times", "input.timestamps is missing: expected one time per row", without="timestamps"),
    wrong("too few times", "input.timestamps is", "expected 2 times", "found 1", values=[ROW, ROW]),
    wrong("no offset", "input.timestamps[0] is", "its offset", timestamps=["2024-05-01T03:00:00"]),
    wrong("no time", "input.timestamps[0] is null: expected a time", timestamps=[None]),
    wrong(
        "times out of order",
        "input.timestamps[1] is",
        "a later time",
        values=[ROW, ROW],
        timestamps=hours(2, 6)[::-1],
    ),
    wrong("a time twice", "input.timestamps[1] is", "a later time", values=[ROW, ROW], timestamps=hours(1, 6) * 2),
    wrong(
        "off the beat",
        "input.timestamps[1] is",
        "on the same step as 2024-05-01T01:00:00Z before it: expected one row every 30min",
        values=[ROW, ROW],
        timestamps=[f"2024-05-01T03:00:00{ZONE}", f"2024-05-01T03:01:00{ZONE}"],
    ),
    wrong(
        "too long a gap",
        "input.timestamps[1] is 2027-05-01T01:00:00Z",
        "expected at most 64 steps",
        status=413,
        values=[ROW, ROW],
        timestamps=[f"2024-05-01T03:00:00{ZONE}", f"2027-05-01T03:00:00{ZONE}"],
    ),
    wrong(
        "too many rows",
        "input.values has 65 rows: expected at most 64",
        status=413,
        values=[ROW] * 65,
        timestamps={"start": f"2024-05-01T03:00:00{ZONE}", "step_seconds": 1800},
    ),
    wrong("no future", "input.future is missing: expected one row of 1 (open)", without="future"),
    wrong("a short future", "input.future has 1 rows: expected", "4 steps ahead", future=[[0]]),
    wrong("a long future", "input.future has 5 rows: expected", "4 steps ahead", future=[[0]] * 5),
    wrong("past the horizon", "input.future has 4 rows: expected", "2 steps ahead", options={"horizon": 2}),
    wrong("a wide future", "input.future[0] has 2 numbers: expected", future=[[0, 1]] * 4),
    wrong("a gap in the future", "input.future[2] is null: expected a number", future=[0, 1, None, 0]),
    wrong("text and values", "text and values given: expected exactly one of", text="the dog"),
    wrong("a future of text", "input.future is", "expected it beside values only", without="values", text="the dog"),
]


@pytest.fixture(scope="module")
def standing(http: httpx.Client) -> Iterator[str]:
    """A session that no bad request may change."""
    session = new_session(http, "site")
    first = answered(feed(http, session, site(6), timestamps=hours(6), future=FUTURE))["output"]
    yield session
    assert_same_forecast(look(http, session, {"input": {"future": FUTURE}}), first)
    assert answered(feed(http, session, [ROW], **TIMED))["step"] == 2


@pytest.mark.parametrize(("body", "mentions", "status"), WRONG)
@pytest.mark.parametrize("route", ["models/site", "sessions/{s}/steps", "sessions/{s}"])
def test_what_is_wrong_is_told_and_moves_nothing(
    http: httpx.Client, standing: str, route: str, body: Body, mentions: tuple[str, ...], status: int
) -> None:
    before = look_up(http, standing)
    path = f"/v1/{route.replace('{s}', standing)}{'' if route.endswith('steps') else '/predict'}"
    error = refusal(post(http, path, body), status, CODES[status], *mentions)
    if route.endswith("steps"):
        assert error["applied"] == "no"
    assert look_up(http, standing) == before


@pytest.mark.parametrize(("body", "mentions", "status"), WRONG)
def test_what_is_wrong_with_one_of_many_steps_is_told_of_it(
    http: httpx.Client, standing: str, body: Body, mentions: tuple[str, ...], status: int
) -> None:
    before = look_up(http, standing)
    response = post(http, "/v1/sessions/steps", {"steps": [{"session_id": standing, **body}]})
    if response.status_code == 200:
        envelope(response.json()["results"][0]["error"], status, CODES[status], *mentions)
    else:
        placed = [
            f"steps[0].{mention}" if mention.startswith(("input", "options")) else mention for mention in mentions
        ]
        refusal(response, status, CODES[status], *placed)
    assert look_up(http, standing) == before


@pytest.mark.parametrize(
    ("times", "mentions"),
    [
        (hours(1, 5), ["input.timestamps[0] is 2024-05-01T00:30:00Z: expected a time after 2024-05-01T00:30:00Z"]),
        (hours(1, 2), ["input.timestamps[0] is 2024-04-30T23:00:00Z: expected a time after"]),
        (["1999-12-31T00:00:00Z"], ["input.timestamps[0] is 1999-12-31T00:00:00Z: expected a time after"]),
        (
            ["2024-05-01T02:31:00+02:00"],
            ["input.timestamps[0] is", "on the same step as 2024-05-01T00:30:00Z before it"],
        ),
    ],
    ids=["repeated", "earlier", "long ago", "off the beat"],
)
def test_times_that_step_back_across_steps_are_refused(
    http: httpx.Client, standing: str, times: list[str], mentions: list[str]
) -> None:
    before = look_up(http, standing)
    response = feed(http, standing, [ROW], timestamps=times, future=FUTURE)
    assert refusal(response, 422, "invalid_request", *mentions)["applied"] == "no"
    assert look_up(http, standing) == before


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"9" * 400, b"NaN", b"Infinity"])
def test_numbers_that_json_or_floats_cannot_hold_are_refused(http: httpx.Client, standing: str, number: bytes) -> None:
    before = look_up(http, standing)
    good = json.dumps({"input": {"values": [[100, 105, 0, 130]], **TIMED}}).encode()
    response = post(http, f"/v1/sessions/{standing}/steps", good.replace(b"105", number))
    assert response.status_code in {400, 422}
    refusal(response, response.status_code, response.json()["error"]["code"], "expected a")
    assert look_up(http, standing) == before


@pytest.mark.parametrize(
    ("path", "body", "mentions"),
    [
        ("/v1/models/words/predict", {"input": {"values": [1, 2]}}, ["input.values is given: expected text"]),
        ("/v1/models/words/predict", {"input": {"text": "the"}, "options": {"horizon": 4}}, ["options.horizon is 4"]),
        ("/v1/models/words/predict", {"input": {"text": "the"}, "options": {"samples": 0}}, ["options.samples is 0"]),
        ("/v1/models/words/score", {"input": {"values": [1]}}, ["input.values is given: expected text"]),
        ("/v1/models/sensor/predict", {"inputs": [{"values": [1]}, {"text": "a"}]}, ["inputs[1].text is given"]),
        ("/v1/models/sensor/predict", {"inputs": [{"values": [1]}, {"values": [1, "a"]}]}, ["inputs[1].values[1] is"]),
        ("/v1/models/sensor/predict", {"inputs": [{"values": [1]}, {"values": [[1, 2]]}]}, ["inputs[1].values[0] has"]),
        ("/v1/models/sensor/predict", {"input": {"future": [1]}}, ["nothing given: expected exactly one of"]),
        ("/v1/models/sensor/predict", {"input": {"values": [1], "future": [1]}}, ["input.future is given"]),
        ("/v1/models/sensor/predict", {}, ["neither given"]),
        ("/v1/models/sensor/score", {"input": {"values": [1]}}, ["expected predict or a step"]),
        ("/v1/models/sensor/generate", {"input": {"values": [1]}}, ["expected predict or a step"]),
        (POINTS, {"input": {"values": [1]}, "options": {"samples": 2}}, ["options.samples", "points"]),
        (POINTS, {"input": {"values": [1]}, "options": {"quantiles": [0.5]}}, ["options.quantiles"]),
        ("/v1/sessions", {"model": "sensor", "input": {"values": [1]}}, ["input is given", "translation"]),
    ],
)  # fmt: skip
def test_what_belongs_to_another_task_or_model_is_refused_by_name(
    http: httpx.Client, path: str, body: Body, mentions: list[str]
) -> None:
    refusal(post(http, path, body), 422, "invalid_request", *mentions)


def test_a_session_that_saw_nothing_has_nothing_to_forecast_from(http: httpx.Client) -> None:
    path = f"/v1/sessions/{new_session(http, 'sensor')}/predict"
    for body in (None, {}, {"options": {"horizon": 1}}):
        refusal(post(http, path, body), 422, "invalid_request", "input.values is missing: expected at least one")
    path = f"/v1/sessions/{new_session(http, 'site')}/predict"
    refusal(post(http, path, {"input": {"future": FUTURE}}), 422, "invalid_request", "input.values is missing")
