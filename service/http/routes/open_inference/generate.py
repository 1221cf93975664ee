"""/v2/models/{model}/generate and generate_stream: continuations of a text."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from service.application.sessions.serializers import encode
from service.domain.errors import UnrollError
from service.domain.operations import Generate, GeneratedToken, Json
from service.http.dependencies import ContextDependency, ServicesDependency
from service.http.errors import body_for
from service.http.event_stream import EventStreamResponse
from service.http.json_response import JsonResponse
from service.http.open_inference.body import run_reader
from service.http.open_inference.generation import read_generation
from service.http.schemas import open_inference as schemas

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
    loaded = await services.models.requested(context, model, version)
    stream = services.predictions.stream(context, model, loaded.version, operation)
    return EventStreamResponse(stream, GenerateEvents(body.id, loaded.name, loaded.version))


async def _read(request: Request) -> tuple[schemas.GenerateBody, Generate]:
    content = await request.body()
    read = partial(read_generation, content, request.state.headers, request.state.size_limits)
    return await run_reader(request, content, read)


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
