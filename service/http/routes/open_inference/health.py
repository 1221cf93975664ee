"""/v2/health: liveness and readiness of the worker and of models."""

from fastapi import APIRouter, Response

from service.application.model_versions.resolver import VersionResolver
from service.http.dependencies import ContextDependency, ServicesDependency
from service.http.schemas import open_inference as schemas

router = APIRouter(prefix="/v2", tags=["open inference protocol"], responses=schemas.HEALTH_ERRORS)


@router.get("/health/live", summary="Is the process alive?", response_class=Response)
async def live() -> Response:
    """Always 200 while the process answers, whatever the store does."""
    return Response()


@router.get(
    "/health/ready", summary="Should this worker get requests?", response_class=Response, responses=schemas.NOT_READY
)
async def ready(services: ServicesDependency) -> Response:
    """503 while the worker drains, or lacks its store, its engine or any model."""
    readiness = await services.health.readiness()
    return Response(status_code=200 if readiness.ready else 503)


@router.get(
    "/models/{model}/ready", summary="Is a model served?", response_class=Response, responses=schemas.MODEL_READY_ERRORS
)
@router.get(
    "/models/{model}/versions/{version}/ready",
    summary="Is a version of a model served?",
    response_class=Response,
    responses=schemas.MODEL_READY_ERRORS,
)
async def model_ready(
    model: str, services: ServicesDependency, context: ContextDependency, version: str | None = None
) -> Response:
    """503 for a model that is not loaded here, be it unknown or on its way."""
    async with context.deadline.enforce():
        is_ready = await _is_ready(services.models.seen_by(context), model, version)
    return Response(status_code=200 if is_ready else 503)


async def _is_ready(models: VersionResolver, model: str, version: str | None) -> bool:
    if models.find(model, version) is None:
        await models.refresh()
    return models.find(model, version) is not None
