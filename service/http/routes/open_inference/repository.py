"""/v2/repository: the models of the folder, which load by themselves and can be unloaded."""

from dataclasses import asdict
from functools import partial
from typing import TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from service.application.sessions.serializers import encode
from service.domain.runtime.fair_thread import run_sized
from service.http.dependencies import ContextDependency, ServicesDependency
from service.http.json_body import invalid_request, parse_large
from service.http.json_response import JsonResponse
from service.http.schemas import open_inference as schemas
from service.http.schemas.strict import Schema

SchemaT = TypeVar("SchemaT", bound=Schema)

router = APIRouter(prefix="/v2/repository", tags=["open inference protocol"], responses=schemas.ERRORS)


@router.post(
    "/index",
    response_model=list[schemas.IndexEntry],
    openapi_extra=schemas.optional_body(schemas.IndexBody),
    summary="List the models of the folder",
)
async def index(request: Request, services: ServicesDependency, context: ContextDependency) -> Response:
    """Every version that is loaded here, that this worker will load, or that a client has unloaded."""
    body = await _read(request, schemas.IndexBody)
    entries = services.model_control.index(context, ready=body.ready)
    return JsonResponse(encode([asdict(entry) for entry in entries]))


async def _read(request: Request, schema: type[SchemaT]) -> SchemaT:
    """Return the body, which may be empty. Clients label it as they like: its type is not looked at."""
    content = await request.body()
    read = partial(parse_large, content or b"{}", request.state.size_limits)
    parsed = await run_sized(request.state.context.cost.client, len(content), read)
    try:
        return schema.model_validate(parsed)
    except ValidationError as error:
        raise invalid_request(error) from None


@router.post(
    "/models/{model}/load",
    response_class=Response,
    openapi_extra=schemas.optional_body(schemas.LoadBody),
    summary="Load a model",
)
async def load(model: str, request: Request, services: ServicesDependency, context: ContextDependency) -> Response:
    """Load a model that was unloaded, and wait until it is served. Other models of the folder load by themselves."""
    body = await _read(request, schemas.LoadBody)
    await services.model_control.load(context, model, body.parameters)
    return Response()


@router.post(
    "/models/{model}/unload",
    response_class=Response,
    openapi_extra=schemas.optional_body(schemas.UnloadBody),
    summary="Unload a model",
)
async def unload(model: str, request: Request, services: ServicesDependency, context: ContextDependency) -> Response:
    """Unload all versions of a model on all workers, until it is loaded again. Its sessions are kept meanwhile."""
    body = await _read(request, schemas.UnloadBody)
    await services.model_control.unload(context, model, body.parameters)
    return Response()
