"""/v2/repository: the models of the folder, which load by themselves."""

import asyncio

from fastapi import APIRouter, Response

from service.application.model_versions.resolver import VersionResolver
from service.application.request_context import RequestContext
from service.application.sessions.serializers import encode
from service.domain.errors import ModelNotReady, NotAllowed
from service.domain.operations import Json
from service.http.dependencies import ContextDependency, ServicesDependency
from service.http.json_response import JsonResponse
from service.http.schemas import open_inference as schemas

router = APIRouter(prefix="/v2/repository", tags=["open inference protocol"], responses=schemas.ERRORS)

#: How often a load looks whether the model is there.
POLL_SECONDS = 0.25


@router.post("/index", response_model=list[schemas.IndexEntry], summary="List the models of the folder")
async def index(services: ServicesDependency, body: schemas.IndexBody | None = None) -> Response:
    """Every version that is loaded here, or that this worker will load."""
    entries = _entries(services.models)
    if body is not None and body.ready:
        entries = [entry for entry in entries if entry["state"] == "READY"]
    return JsonResponse(encode([*entries]))


def _entries(models: VersionResolver) -> list[dict[str, Json]]:
    loaded = [(version.name, version.version) for versions in models.all().values() for version in versions]
    awaited = sorted(models.availability.pending(new_sessions=True) - {*loaded})
    return [
        *(_entry(name, version, "READY", "") for name, version in loaded),
        *(_entry(name, version, "LOADING", "not loaded by this worker yet") for name, version in awaited),
    ]


def _entry(name: str, version: str, state: str, reason: str) -> dict[str, Json]:
    return {"name": name, "version": version, "state": state, "reason": reason}


@router.post("/models/{model}/load", response_class=Response, summary="Wait for a model")
async def load(
    model: str,
    services: ServicesDependency,
    context: ContextDependency,
    body: schemas.RepositoryBody | None = None,  # noqa: ARG001 - clients send it
) -> Response:
    """Wait until a model of the folder is served. Folders are loaded by themselves, so nothing else is to do."""
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


@router.post("/models/{model}/unload", response_class=Response, summary="Refused: folders decide what is served")
async def unload(
    model: str,
    services: ServicesDependency,
    context: ContextDependency,
    body: schemas.RepositoryBody | None = None,  # noqa: ARG001 - likewise
) -> Response:
    """A model is served as long as its folder is there: one client does not take it from the others."""
    async with context.deadline.enforce():
        await services.models.versions(model)
    raise NotAllowed(
        f"explicit unload of model {model!r} is not allowed, since the model folder is polled: a model is unloaded "
        "when its operator removes its folder",
        param="model",
    )
