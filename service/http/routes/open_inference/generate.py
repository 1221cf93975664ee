"""/v2/models/{model}/generate and generate_stream: continuations of a text."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from service.application.sessions.serializers import encode
from service.domain.errors import UnrollError
from service.domain.operations import Generate, GeneratedToken, Json, TextInput
from service.http.dependencies import ContextDependency, ServicesDependency
from service.http.errors import body_for
from service.http.event_stream import EventStreamResponse
from service.http.json_body import invalid_request, parse_large
from service.http.json_response import JsonResponse
from service.http.open_inference.body import read_body
from service.http.schemas import open_inference as schemas
from service.http.schemas.options import GenerationOptions

router = APIRouter(prefix="/v2", tags=["open inference protocol"], responses=schemas.ERRORS)


@router.post(
    "/models/{model}/generate",
    response_model=schemas.GenerateResult,
    openapi_extra=schemas.GENERATE_REQUEST,
    summary="Continue a text",
)
@router.post(
    "/models/{model}/versions/{version}/generate",
    response_model=schemas.GenerateResult,
    openapi_extra=schemas.GENERATE_REQUEST,
    summary="Continue a text with a version",
)
async def generate(
    model: str,
    request: Request,
    services: ServicesDependency,
    context: ContextDependency,
    version: str | None = None,
) -> Response:
    """A continuation of the text, token after token."""
    body, operation = await _read(request)
    answer = await services.predictions.predict_one(context, model, version, operation)
    output: Any = answer["output"]
    return JsonResponse(encode(_result(body.id, answer["model"], answer["version"], output["text"])))


@router.post(
    "/models/{model}/generate_stream",
    response_class=Response,
    responses=schemas.STREAMED,
    openapi_extra=schemas.GENERATE_REQUEST,
    summary="Continue a text, as events",
)
@router.post(
    "/models/{model}/versions/{version}/generate_stream",
    response_class=Response,
    responses=schemas.STREAMED,
    openapi_extra=schemas.GENERATE_REQUEST,
    summary="Continue a text with a version, as events",
)
async def generate_stream(
    model: str,
    request: Request,
    services: ServicesDependency,
    context: ContextDependency,
    version: str | None = None,
) -> Response:
    """A continuation of the text as Server-Sent Events, one for each piece of it."""
    body, operation = await _read(request)
    loaded = (await services.inference.model(context, model, version)).version
    stream = services.predictions.stream(context, model, loaded.version, operation)
    return EventStreamResponse(stream, GenerateEvents(body.id, loaded.name, loaded.version))


async def _read(request: Request) -> tuple[schemas.GenerateBody, Generate]:
    limits = request.state.size_limits
    parts = read_body(await request.body(), request.state.headers, limits.body_bytes)
    parsed = parse_large(parts.json or b"", limits)
    try:
        body = schemas.GenerateBody.model_validate(parsed)
    except ValidationError as error:
        raise invalid_request(error) from None
    parameters = {name: value for name, value in body.parameters.items() if name != "stream"}
    if isinstance(parameters.get("stop"), str):
        parameters["stop"] = [parameters["stop"]]
    try:
        options = GenerationOptions.model_validate(parameters).to_domain()
    except ValidationError as error:
        invalid = invalid_request(error)
        raise invalid.with_message(f"parameters.{invalid.message}", invalid.param) from None
    return body, Generate(TextInput(text=body.text_input), options)


def _result(identifier: str | None, model: Json, version: Json, text: str) -> dict[str, Json]:
    fields: dict[str, Json] = {} if identifier is None else {"id": identifier}
    return {**fields, "model_name": model, "model_version": version, "text_output": text}


class GenerateEvents:
    """Events of a streamed generation: one for each piece of text."""

    def __init__(self, identifier: str | None, model: str, version: str) -> None:
        self._fields = identifier, model, version

    def tokens(self, tokens: Sequence[GeneratedToken]) -> bytes:
        return b"".join(_event(_result(*self._fields, token.text)) for token in tokens)

    def done(self, answer: dict[str, Json]) -> bytes:  # noqa: ARG002 - all pieces were sent
        return b""

    def error(self, error: UnrollError) -> bytes:
        return _event(body_for(error, "/v2"))


def _event(data: dict[str, Json]) -> bytes:
    return b"data: %b\n\n" % encode(data)
