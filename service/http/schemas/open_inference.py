"""Schemas of the Open Inference Protocol: those of requests validate, those of responses are documentation only."""

from typing import Any

from pydantic import BaseModel

from service.http.schemas.responses import Responses


class OpenInferenceError(BaseModel):
    """Every error under /v2."""

    error: str


class ServerMetadata(BaseModel):
    """Name and release of the server, and the extensions of the protocol that it serves."""

    name: str
    version: str
    extensions: list[str]


def _errors(descriptions: dict[int, str]) -> Responses:
    errors: dict[int | str, dict[str, Any]] = {}
    for status, description in descriptions.items():
        errors[status] = {"model": OpenInferenceError, "description": description}
    return errors


HEALTH_ERRORS = _errors({405: "The path has no such method; Allow has its methods", 500: "The service failed"})
NOT_READY: Responses = {503: {"description": "Draining, degraded or unavailable"}}
ERRORS = HEALTH_ERRORS | _errors(
    {
        400: "The body is not JSON, or not what its headers announce",
        401: "The API key is missing or wrong",
        403: "A web page, or a request to another host, that may not use this service",
        404: "No such model, version or sequence",
        413: "The body or the input is too long",
        415: "The body is of another type or encoding",
        422: "A field is wrong",
        429: "This client sends too much; try again after Retry-After seconds",
        503: "Try again after Retry-After seconds",
    }
)
MODEL_READY_ERRORS = {status: value for status, value in ERRORS.items() if status not in {404, 503}} | {
    503: {"description": "Not served, or not loaded yet"}
}
