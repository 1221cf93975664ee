"""/v1/models: what is served, and predictions without a session."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.application.request_context import RequestContext
from service.application.sessions.serializers import encode
from service.domain.models import ModelVersion
from service.domain.operations import Json
from service.http.dependencies import Services, request_context, services
from service.http.json_body import StrictRoute
from service.http.schemas import requests, responses

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=StrictRoute, responses=responses.ERRORS)

ServicesDependency = Annotated[Services, Depends(services)]
Context = Annotated[RequestContext, Depends(request_context)]


@router.get("", response_model=responses.ModelList, summary="List the models")
async def list_models(wired: ServicesDependency) -> Response:
    """Every served model with its versions and held-out figures."""
    data: list[Json] = [_model(versions) for versions in wired.models.all().values()]
    return _json({"object": "list", "data": data})


@router.get("/{model}", response_model=responses.Model, summary="Describe a model")
async def get_model(model: str, wired: ServicesDependency, asking: Context) -> Response:
    """One served model."""
    async with asking.deadline.bounding():
        versions = await wired.models.versions(model)
    return _json(_model(versions))


@router.post(
    "/{model}/predict",
    response_model=responses.PredictAnswer,
    response_model_exclude_unset=True,
    summary="Predict",
)
async def predict(model: str, body: requests.PredictBody, wired: ServicesDependency, asking: Context) -> Response:
    """The next words of a text, its translation, or the forecast of a series; and how well the model foresaw it."""
    return await _one_or_many(wired, asking, model, body)


@router.post("/{model}/score", response_model=responses.ScoreAnswer, summary="Score texts")
async def score(model: str, body: requests.ScoreBody, wired: ServicesDependency, asking: Context) -> Response:
    """The log-probability of every token of a text; for choosing among candidates."""
    return await _one_or_many(wired, asking, model, body)


@router.post("/{model}/generate", response_model=responses.GenerateAnswer, summary="Continue a text")
async def generate(model: str, body: requests.GenerateBody, wired: ServicesDependency, asking: Context) -> Response:
    """A continuation of the text, token after token."""
    return _json(await wired.predictions.one(asking, model, body.version, body.to_domain()))


async def _one_or_many(
    wired: Services, asking: RequestContext, model: str, body: requests.PredictBody | requests.ScoreBody
) -> Response:
    one = body.one()
    if one is not None:
        return _json(await wired.predictions.one(asking, model, body.version, one))
    return _json(await wired.predictions.many(asking, model, body.version, [*body.many()]))


def _json(value: Json) -> Response:
    return Response(encode(value), media_type="application/json")


def _model(versions: list[ModelVersion]) -> dict[str, Json]:
    newest = versions[-1]
    return {
        "id": newest.name,
        "object": "model",
        "created": newest.created,
        "owned_by": "unroll",
        "task": newest.task,
        "versions": [one.version for one in versions],
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
    }
