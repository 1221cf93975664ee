"""/v2/repository: the models of the folder, which load by themselves."""

import asyncio
from functools import partial
from typing import TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from service.application.model_versions.resolver import VersionResolver
from service.application.request_context import RequestContext
from service.application.sessions.serializers import encode
from service.domain.errors import ModelNotReady, NotAllowed
from service.domain.operations import Json
from service.domain.runtime.fair_thread import run_sized
from service.http.dependencies import ContextDependency, ServicesDependency
from service.http.json_body import invalid_request, parse_large
from service.http.json_response import JsonResponse
from service.http.schemas import open_inference as schemas
from service.http.schemas.strict import Schema

SchemaT = TypeVar("SchemaT", bound=Schema)

router = APIRouter(prefix="/v2/repository", tags=["open inference protocol"], responses=schemas.ERRORS)

#: How often a load looks whether the model is there.
POLL_SECONDS = 0.25


@router.post(
    "/index",
    response_model=list[schemas.IndexEntry],
    openapi_extra=schemas.optional_body(schemas.IndexBody),
    summary="List the models of the folder",
)
async def index(request: Request, services: ServicesDependency) -> Response:
    """Every version that is loaded here, or that this worker will load."""
    body = await _read(request, schemas.IndexBody)
    entries = _entries(services.models)
    if body.ready:
        entries = [entry for entry in entries if entry["state"] == "READY"]
    return JsonResponse(encode([*entries]))


async def _read(request: Request, schema: type[SchemaT]) -> SchemaT:
    """Return the body, which may be empty. Clients label it as they like: its type is not looked at."""
    content = await request.body()
    read = partial(parse_large, content or b"{}", request.state.size_limits)
    parsed = await run_sized(request.state.context.cost.client, len(content), read)
    try:
        return schema.model_validate(parsed)
    except ValidationError as error:
        raise invalid_request(error) from None


def _entries(models: VersionResolver) -> list[dict[str, Json]]:
    loaded = [(version.name, version.version) for versions in models.all().values() for version in versions]
    awaited = sorted(models.availability.pending(new_sessions=True) - {*loaded})
    return [
        *(_entry(name, version, "READY", "") for name, version in loaded),
        *(_entry(name, version, "LOADING", "not loaded by this worker yet") for name, version in awaited),
    ]


def _entry(name: str, version: str, state: str, reason: str) -> dict[str, Json]:
    return {"name": name, "version": version, "state": state, "reason": reason}


@router.post(
    "/models/{model}/load",
    response_class=Response,
    openapi_extra=schemas.optional_body(schemas.RepositoryBody),
    summary="Wait for a model",
)
async def load(model: str, request: Request, services: ServicesDependency, context: ContextDependency) -> Response:
    """Wait until a model of the folder is served. Folders are loaded by themselves, so nothing else is to do."""
    await _read(request, schemas.RepositoryBody)
    await _wait_for(services.models, context, model)
    return Response()


async def _wait_for(models: VersionResolver, context: RequestContext, model: str) -> None:
    async with context.deadline.enforce():
        while True:
            try:
                await models.versions(model)
            except ModelNotReady:
                await asyncio.sleep(POLL_SECONDS)
            else:
                return


@router.post(
    "/models/{model}/unload",
    response_class=Response,
    openapi_extra=schemas.optional_body(schemas.RepositoryBody),
    summary="Refused: folders decide what is served",
)
async def unload(model: str, request: Request, services: ServicesDependency, context: ContextDependency) -> Response:
    """A model is served as long as its folder is there: one client does not take it from the others."""
    await _read(request, schemas.RepositoryBody)
    async with context.deadline.enforce():
        await services.models.versions(model)
    raise NotAllowed(
        f"explicit unload of model {model!r} is not allowed, since the model folder is polled: a model is unloaded "
        "when its operator removes its folder",
        param="model",
    )
