"""/v1/models: what is served, and predictions without a session."""

from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from service.application.request_context import RequestContext
from service.application.services import Services
from service.application.sessions.serializers import encode, encode_with_list
from service.domain.errors import NotFound
from service.domain.models import ModelVersion
from service.domain.operations import Json, Operation
from service.http.dependencies import ContextDependency, ServicesDependency
from service.http.event_stream import EventStreamResponse, NativeEvents
from service.http.json_body import StrictRoute
from service.http.json_response import JsonResponse
from service.http.schemas import errors, requests, resources, responses

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=StrictRoute, responses=errors.ERRORS)


async def _requested(
    model: str,
    services: ServicesDependency,
    context: ContextDependency,
    query: Annotated[requests.VersionQuery, Query()],
) -> ModelVersion:
    """Return the version that a request names, the newest one if it names none."""
    return await services.models.requested(context, model, query.version)


RequestedVersion = Annotated[ModelVersion, Depends(_requested)]


@router.get("", response_model=resources.ModelList, summary="List the models")
async def list_models(services: ServicesDependency, context: ContextDependency) -> Response:
    """Every served model with its versions and held-out figures."""
    models = services.models.seen_by(context)
    data: list[Json] = [_model(versions, models.retiring(name)) for name, versions in models.all().items()]
    return _json({"object": "list", "data": data})


@router.get("/{model}", response_model=resources.Model, summary="Describe a model")
async def get_model(model: str, services: ServicesDependency, context: ContextDependency) -> Response:
    """One served model."""
    models = services.models.seen_by(context)
    async with context.deadline.enforce():
        versions = await models.versions(model)
    return _json(_model(versions, models.retiring(model)))


@router.get("/{model}/network", response_model=resources.Network, summary="Describe the layers of a model")
async def get_network(version: RequestedVersion) -> Response:
    """The layers of a version in order, with their sizes, and the tensors that a session stores."""
    return _json(
        {
            "object": "network",
            "model": version.name,
            "version": version.version,
            "architecture": version.architecture,
            **version.network,
        }
    )


@router.get(
    "/{model}/card",
    response_class=Response,
    responses=responses.MODEL_CARD,
    summary="Read the model card of a model",
)
async def get_card(version: RequestedVersion) -> Response:
    """The README.md in the folder of a version, as it was when the version was loaded."""
    if version.card is None:
        subject = f"version {version.version} of {version.name}"
        raise NotFound(f"{subject} has no model card: found no README.md in its folder")
    return Response(version.card, media_type="text/markdown")


@router.post(
    "/{model}/predict",
    response_model=responses.PredictAnswer,
    response_model_exclude_unset=True,
    summary="Predict",
)
async def predict(
    model: str, body: requests.PredictBody, services: ServicesDependency, context: ContextDependency
) -> Response:
    """The next words of a text, its translation, or the forecast of a series; and how well the model foresaw it."""
    return await _one_or_many(services, context, model, body)


@router.post("/{model}/score", response_model=responses.ScoreAnswer, summary="Score texts")
async def score(
    model: str, body: requests.ScoreBody, services: ServicesDependency, context: ContextDependency
) -> Response:
    """The log-probability of every token of a text; for choosing among candidates."""
    return await _one_or_many(services, context, model, body)


@router.post(
    "/{model}/generate",
    response_model=responses.GenerateAnswer,
    responses=responses.TOKEN_EVENTS,
    summary="Continue a text",
)
async def generate(
    model: str, body: requests.GenerateBody, services: ServicesDependency, context: ContextDependency
) -> Response:
    """A continuation of the text, token after token; with `stream` as Server-Sent Events."""
    if body.options.stream:
        stream = services.predictions.stream(context, model, body.version, body.to_domain())
        return EventStreamResponse(stream, NativeEvents())
    return _json(await services.predictions.predict_one(context, model, body.version, body.to_domain()))


async def _one_or_many(
    services: Services, context: RequestContext, model: str, body: requests.PredictBody | requests.ScoreBody
) -> Response:
    operation = body.one()
    if operation is not None:
        return _json(await services.predictions.predict_one(context, model, body.version, operation))
    client, slices = context.cost.client, services.slices
    to_operations: Callable[[], Sequence[Operation]] = body.many
    operations = await slices.run(client, to_operations)
    answer = await services.predictions.predict_many(context, model, body.version, operations)
    outputs = answer["outputs"]
    items = outputs if isinstance(outputs, list) else []
    return JsonResponse(await encode_with_list(answer, "outputs", items, client, slices))


def _json(value: Json) -> Response:
    return JsonResponse(encode(value))


def _model(versions: list[ModelVersion], retiring: list[ModelVersion]) -> dict[str, Json]:
    newest = versions[-1]
    vector: dict[str, Json] = {} if newest.vector_size is None else {"vector_size": newest.vector_size}
    retired: dict[str, Json] = {"retiring_versions": [version.version for version in retiring]} if retiring else {}
    return {
        "id": newest.name,
        "object": "model",
        "created": newest.created,
        "owned_by": "unroll",
        "task": newest.task,
        "versions": [version.version for version in versions],
        "default_version": newest.version,
        "architecture": newest.architecture,
        "cell": newest.cell,
        "num_layers": newest.num_layers,
        "hidden_size": [*newest.hidden_size] if isinstance(newest.hidden_size, list) else newest.hidden_size,
        "parameters": newest.parameters,
        "state_bytes": newest.state_bytes,
        "fingerprint": f"sha256:{newest.fingerprint}",
        "dtype": newest.dtype,
        "verified": newest.verified,
        "description": newest.description,
        "metrics": newest.metrics,
        **vector,
        **retired,
    }
