"""Methods of GRPCInferenceService that have one request and one response, but for ModelInfer."""

from dataclasses import asdict
from typing import Any

from google.protobuf.json_format import ParseDict

from service.application.request_context import RequestContext
from service.application.services import Services
from service.domain.models import ModelVersion
from service.domain.operations import Json
from service.grpc.messages import message
from service.grpc.tensors import read_parameters
from service.open_inference.metadata import SHARED_EXTENSIONS, configuration, metadata, server_description
from service.open_inference.statistics import model_statistics


def _to_message(name: str, values: dict[str, Json]) -> Any:  # noqa: ANN401 - protobuf has no types
    return ParseDict(values, message(name)())


class Methods:
    """Answers of the methods about the server, its models and their repository."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def model_ready(self, context: RequestContext, request: Any) -> Any:  # noqa: ANN401 - likewise
        """Say whether a model is served by this worker, be it unknown or on its way otherwise."""
        models, version = self._services.models.seen_by(context), request.version or None
        async with context.deadline.enforce():
            if models.find(request.name, version) is None:
                await models.refresh()
        return message("ModelReadyResponse")(ready=models.find(request.name, version) is not None)

    async def server_metadata(self, context: RequestContext, request: Any) -> Any:  # noqa: ANN401, ARG002 - likewise
        """Return name and release of the server, and the extensions that it serves."""
        return _to_message("ServerMetadataResponse", server_description(SHARED_EXTENSIONS))

    async def model_metadata(self, context: RequestContext, request: Any) -> Any:  # noqa: ANN401 - likewise
        """Return the versions and the tensors of a model."""
        model = await self._services.inference.model(context, request.name, request.version or None)
        return _to_message("ModelMetadataResponse", metadata(model, self._versions(model.version, request.version)))

    async def model_config(self, context: RequestContext, request: Any) -> Any:  # noqa: ANN401 - likewise
        """Return the configuration of a model."""
        model = await self._services.inference.model(context, request.name, request.version or None)
        return _to_message("ModelConfigResponse", {"config": configuration(model)})

    async def model_statistics(self, context: RequestContext, request: Any) -> Any:  # noqa: ANN401 - likewise
        """Return the statistics of a model, or of all."""
        if request.name:
            model = await self._services.inference.model(context, request.name, request.version or None)
            versions = self._versions(model.version, request.version)
        else:
            models = self._services.models.seen_by(context).all()
            versions = [version for several in models.values() for version in several]
        statistics = model_statistics(versions, await self._services.inference_statistics())
        return _to_message("ModelStatisticsResponse", statistics)

    async def repository_index(self, context: RequestContext, request: Any) -> Any:  # noqa: ANN401 - likewise
        """List the versions of the models of the folder."""
        index = self._services.model_control.index(context, ready=request.ready)
        return ParseDict({"models": [asdict(entry) for entry in index]}, message("RepositoryIndexResponse")())

    async def repository_model_load(self, context: RequestContext, request: Any) -> Any:  # noqa: ANN401 - likewise
        """Load a model that was unloaded, and wait until it is served."""
        parameters = read_parameters("parameters", request.parameters)
        await self._services.model_control.load(context, request.model_name, parameters)
        return message("RepositoryModelLoadResponse")()

    async def repository_model_unload(self, context: RequestContext, request: Any) -> Any:  # noqa: ANN401 - likewise
        """Unload a model on all workers."""
        parameters = read_parameters("parameters", request.parameters)
        await self._services.model_control.unload(context, request.model_name, parameters)
        return message("RepositoryModelUnloadResponse")()

    def _versions(self, version: ModelVersion, requested: str) -> list[ModelVersion]:
        """Return the versions that a request means: the requested one, or all of the model."""
        return [version] if requested else self._services.models.all().get(version.name, [version])
