"""Schema of an error, and the errors that the OpenAPI document lists for each kind of path."""

from typing import Any, Literal, TypeAlias

from pydantic import BaseModel


class ErrorBody(BaseModel):
    """What went wrong; `applied` and `step` tell of a session step whether it took effect."""

    code: str
    type: str
    message: str
    param: str | None
    applied: Literal["no", "yes", "unknown"] | None
    step: int | None


class Error(BaseModel):
    """The envelope of every error."""

    error: ErrorBody


Responses: TypeAlias = dict[int | str, dict[str, Any]]


def _errors(descriptions: dict[int, str]) -> Responses:
    return {status: {"model": Error, "description": description} for status, description in descriptions.items()}


#: Of all paths.
COMMON_ERRORS = _errors({405: "The path has no such method; Allow has its methods", 500: "The service failed"})
#: Of all paths that may require an API key.
GUARDED_ERRORS = COMMON_ERRORS | _errors(
    {
        401: "The API key is missing or wrong",
        403: "A web page, a request to another host, or one for another tenant, that is not allowed",
        429: "This client sends too much; try again after Retry-After seconds",
    }
)
#: Of all paths under /v1; `api.py` leaves 400 and 415 out where there is no body.
ERRORS = GUARDED_ERRORS | _errors(
    {
        400: "The body is not JSON",
        404: "No such model, version or session",
        413: "The body or the input is too long",
        415: "The body is of another type",
        422: "A field is wrong",
        503: "Try again after Retry-After seconds",
    }
)
SESSION_ERRORS = ERRORS | _errors(
    {
        409: "The session stands at another step",
        410: "The session expired or was ended, or its model version is gone",
    }
)
