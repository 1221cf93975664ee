"""The calls that need no session, as flows."""

from collections.abc import Iterable
from typing import Any, TypeVar, Unpack
from urllib.parse import quote

from unroll_client.answers import (
    Forecast,
    Generation,
    Model,
    Prediction,
    Predictions,
    Score,
    Scores,
    SessionInfo,
    SessionPage,
    Translations,
)
from unroll_client.client_state import ClientState
from unroll_client.decoding import decode
from unroll_client.flow import Flow
from unroll_client.inputs import (
    GenerateOptions,
    Input,
    PredictOptions,
    Vector,
    to_input,
    to_options,
    to_series,
    with_vector,
)
from unroll_client.transport import Request, Response

T = TypeVar("T")


def models(client: ClientState[Any]) -> Flow[list[Model]]:
    """List the served models."""
    return (yield from client.service.request(Request("GET", "/v1/models"), _parse_models))


def _parse_models(response: Response) -> list[Model]:
    return [decode(Model, item) for item in response.json()["data"]]


def model(client: ClientState[Any], name: str) -> Flow[Model]:
    """Describe a model."""
    return (yield from _call(client, Request("GET", _path(name)), Model))


def model_card(client: ClientState[Any], name: str, *, version: str | None = None) -> Flow[str]:
    """Return the model card of a version, by default the newest, as Markdown."""
    request = Request("GET", _path(name, "card"), params=dict(_version(version)))
    return (yield from client.service.request(request, lambda response: response.content.decode()))


def predict(
    client: ClientState[Any],
    model: str,
    input: "Input | None" = None,  # noqa: A002
    *,
    vector: "Vector | None" = None,
    version: str | None = None,
    **options: Unpack[PredictOptions],
) -> Flow[Prediction]:
    """Predict what follows an input: next words, a translation or a forecast, depending on the model.

    `vector` is what a sequence of a conditioned model begins with, in front of the input or alone.
    """
    body = {"input": with_vector(input, vector), **to_options(options), **_version(version)}
    return (yield from _call(client, Request("POST", _path(model, "predict"), body), Prediction))


def predict_many(
    client: ClientState[Any],
    model: str,
    inputs: "Iterable[Input]",
    *,
    version: str | None = None,
    **options: Unpack[PredictOptions],
) -> Flow[Predictions]:
    """Predict what follows each of several inputs, by one request."""
    body = {"inputs": [to_input(item) for item in inputs], **to_options(options), **_version(version)}
    return (yield from _call(client, Request("POST", _path(model, "predict"), body), Predictions))


def translate(
    client: ClientState[Any], model: str, text: str, *, version: str | None = None, **options: Unpack[PredictOptions]
) -> Flow[Translations]:
    """Translate a text."""
    answer = yield from predict(client, model, text, version=version, **options)
    return _expect(Translations, answer, model)


def forecast(
    client: ClientState[Any],
    model: str,
    values: "Input",
    *,
    timestamps: Any = None,  # noqa: ANN401 - times of any type
    future: Any = None,  # noqa: ANN401 - rows of any type
    version: str | None = None,
    **options: Unpack[PredictOptions],
) -> Flow[Forecast]:
    """Forecast what follows observations: numbers, rows of numbers, an array, a pandas Series or DataFrame.

    None and NaN are missing values. A pandas object with a DatetimeIndex brings its `timestamps`; otherwise these are
    datetimes, RFC 3339 texts or `{"start", "step_seconds"}`. Times without a zone are UTC. `future` has the covariates
    that are known in advance, one row for each step ahead.
    """
    series = to_series(values, timestamps, future)
    answer = yield from predict(client, model, series, version=version, **options)
    return _expect(Forecast, answer, model)


def score(
    client: ClientState[Any],
    model: str,
    input: "Input",  # noqa: A002
    *,
    vector: "Vector | None" = None,
    version: str | None = None,
) -> Flow[Score]:
    """Return how probable a text is; for translation models, `{"text", "target"}`.

    `vector` is what a sequence of a conditioned model begins with.
    """
    body = {"input": with_vector(input, vector), **_version(version)}
    return (yield from _call(client, Request("POST", _path(model, "score"), body), Score))


def score_many(
    client: ClientState[Any], model: str, inputs: "Iterable[Input]", *, version: str | None = None
) -> Flow[Scores]:
    """Return how probable each of several texts is, by one request."""
    body = {"inputs": [to_input(item) for item in inputs], **_version(version)}
    return (yield from _call(client, Request("POST", _path(model, "score"), body), Scores))


def generate(
    client: ClientState[Any],
    model: str,
    input: "Input | None" = None,  # noqa: A002
    *,
    vector: "Vector | None" = None,
    version: str | None = None,
    **options: Unpack[GenerateOptions],
) -> Flow[Generation]:
    """Continue a text. `vector` is what a text of a conditioned model begins with, in front of the input or alone."""
    body = {"input": with_vector(input, vector), **to_options(options), **_version(version)}
    return (yield from _call(client, Request("POST", _path(model, "generate"), body), Generation))


def list_sessions(
    client: ClientState[Any], *, model: str | None = None, limit: int = 20, cursor: str | None = None
) -> Flow[SessionPage]:
    """Return one page of your sessions, newest first. `cursor` is the `next_cursor` of the page before."""
    params = {"limit": limit, "model": model, "cursor": cursor}
    given = {name: value for name, value in params.items() if value is not None}
    return (yield from _call(client, Request("GET", "/v1/sessions", params=given), SessionPage))


def get_session_info(client: ClientState[Any], session_id: str) -> Flow[SessionInfo]:
    """Describe a session."""
    return (yield from _call(client, Request("GET", f"/v1/sessions/{quote(session_id, safe='')}"), SessionInfo))


def _call(client: ClientState[Any], request: Request, kind: type[T]) -> Flow[T]:
    return (yield from client.service.request(request, lambda response: decode(kind, response.json())))


def _expect(kind: type[T], answer: Prediction, model: str) -> T:
    """Return the output of a prediction. Raises TypeError if the model has another task."""
    if not isinstance(answer.output, kind):
        raise TypeError(f"{model} answered with {type(answer.output).__name__}: expected a model for {kind.__name__}")
    return answer.output


def _path(model: str, call: str | None = None) -> str:
    return f"/v1/models/{quote(model, safe='')}" + ("" if call is None else f"/{call}")


def _version(version: str | None) -> dict[str, str]:
    return {} if version is None else {"version": version}
