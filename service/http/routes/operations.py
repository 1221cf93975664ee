"""/health, /metrics and the documentation, for operators."""

from fastapi import APIRouter, Request, Response

from service.application.sessions.serializers import encode
from service.domain.errors import NotFound
from service.http.dependencies import ServicesDependency
from service.http.documentation import DOCS_PATH, OPENAPI_PATH, PAGE
from service.http.json_response import JsonResponse
from service.http.page_files import SWAGGER, library_response
from service.http.schemas import errors, resources

router = APIRouter(tags=["operations"], responses=errors.COMMON_ERRORS)


@router.head("/health/live", include_in_schema=False)
@router.get("/health/live", summary="Is the process alive?")
async def live() -> dict[str, str]:
    """Always 200 while the process answers, whatever the store does."""
    return {"status": "alive"}


@router.head("/health/ready", include_in_schema=False)
@router.get(
    "/health/ready",
    response_model=resources.Readiness,
    responses={503: {"model": resources.Readiness, "description": "Draining, degraded or unavailable"}},
    summary="Should this worker get requests?",
)
async def ready(services: ServicesDependency) -> Response:
    """503 tells in `checks` what is missing: `draining` goes soon, `degraded` still predicts without a session."""
    readiness = await services.health.readiness()
    return Response(encode(readiness.report), 200 if readiness.ready else 503, media_type="application/json")


@router.get(
    "/metrics",
    response_class=Response,
    responses=errors.GUARDED_ERRORS
    | {200: {"description": "Prometheus' text format", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    summary="Prometheus metrics",
)
async def metrics(services: ServicesDependency) -> Response:
    """All workers of this supervisor together, in Prometheus' text format."""
    return Response(await services.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.head(OPENAPI_PATH, include_in_schema=False)
@router.get(OPENAPI_PATH, include_in_schema=False)
async def openapi(request: Request) -> Response:
    """The contract."""
    return JsonResponse(await request.app.openapi_json())


@router.head(DOCS_PATH, include_in_schema=False)
@router.get(DOCS_PATH, include_in_schema=False)
async def docs() -> Response:
    """The contract as a page for people."""
    return Response(PAGE, media_type="text/html; charset=utf-8")


@router.head(f"{DOCS_PATH}/{{name}}", include_in_schema=False)
@router.get(f"{DOCS_PATH}/{{name}}", include_in_schema=False)
async def docs_file(name: str, request: Request) -> Response:
    """A file that the page loads."""
    path = SWAGGER.get(name)
    if path is None:
        raise NotFound(f"no file {name[:200]!r} of the page {DOCS_PATH}: expected one of {', '.join(SWAGGER)}")
    return library_response(path, request.scope)
