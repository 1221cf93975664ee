"""/v2: metadata of the server and of models."""

from fastapi import APIRouter, Response

from service.application.sessions.serializers import encode
from service.http.dependencies import ContextDependency, ServicesDependency
from service.http.json_response import JsonResponse
from service.http.schemas import open_inference as schemas
from service.open_inference.metadata import SHARED_EXTENSIONS, configuration, metadata, server_description
from service.open_inference.statistics import model_statistics

#: Extensions of the protocol that are served.
EXTENSIONS = (*SHARED_EXTENSIONS, "generate")

router = APIRouter(prefix="/v2", tags=["open inference protocol"], responses=schemas.ERRORS)


@router.get("", response_model=schemas.ServerMetadata, summary="Describe the server")
async def server_metadata() -> Response:
    """Name and release of the server, and the extensions of the protocol that it serves."""
    return JsonResponse(encode(server_description(EXTENSIONS)))


@router.get("/models/stats", response_model=schemas.Statistics, summary="Statistics of all models")
async def all_statistics(services: ServicesDependency, context: ContextDependency) -> Response:
    """Numbers and times of the inferences over this protocol, of all workers of this supervisor."""
    versions = [version for versions in services.models.seen_by(context).all().values() for version in versions]
    return JsonResponse(encode(model_statistics(versions, await services.inference_statistics())))


@router.get("/models/{model}", response_model=schemas.ModelMetadata, summary="Describe a model")
@router.get(
    "/models/{model}/versions/{version}", response_model=schemas.ModelMetadata, summary="Describe a version of a model"
)
async def model_metadata(
    model: str, services: ServicesDependency, context: ContextDependency, version: str | None = None
) -> Response:
    """The versions of a model, and its input and output tensors; -1 is any size."""
    loaded = await services.inference.model(context, model, version)
    versions = [loaded.version] if version is not None else services.models.all().get(model, [loaded.version])
    return JsonResponse(encode(metadata(loaded, versions)))


@router.get("/models/{model}/config", response_model=schemas.ModelConfiguration, summary="The configuration of a model")
@router.get(
    "/models/{model}/versions/{version}/config",
    response_model=schemas.ModelConfiguration,
    summary="The configuration of a version of a model",
)
async def model_configuration(
    model: str, services: ServicesDependency, context: ContextDependency, version: str | None = None
) -> Response:
    """The configuration in Triton's form."""
    return JsonResponse(encode(configuration(await services.inference.model(context, model, version))))


@router.get("/models/{model}/stats", response_model=schemas.Statistics, summary="Statistics of a model")
@router.get(
    "/models/{model}/versions/{version}/stats",
    response_model=schemas.Statistics,
    summary="Statistics of a version of a model",
)
async def statistics(
    model: str, services: ServicesDependency, context: ContextDependency, version: str | None = None
) -> Response:
    """Numbers and times of the inferences over this protocol, of all workers of this supervisor."""
    loaded = await services.inference.model(context, model, version)
    versions = [loaded.version] if version is not None else services.models.all().get(model, [loaded.version])
    return JsonResponse(encode(model_statistics(versions, await services.inference_statistics())))
