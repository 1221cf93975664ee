"""Requests for continuations of a text, between their bytes and the application's values."""

from pydantic import ValidationError

from service.domain.operations import Generate, TextInput
from service.http.body_sizes import SizeLimits
from service.http.json_body import invalid_request, parse_large
from service.http.middleware.headers import Headers
from service.http.open_inference.body import read_body
from service.http.schemas.open_inference import GenerateBody
from service.http.schemas.options import GenerationOptions


def read_generation(content: bytes, headers: Headers, limits: SizeLimits) -> tuple[GenerateBody, Generate]:
    """Return the body of a request for a continuation, and its operation. Raises InvalidRequest and its subclasses."""
    parts = read_body(content, headers, limits.body_bytes)
    parsed = parse_large(parts.json or b"", limits)
    try:
        body = GenerateBody.model_validate(parsed)
    except ValidationError as error:
        raise invalid_request(error) from None
    parameters = {name: value for name, value in body.parameters.items() if name != "stream"}
    if isinstance(parameters.get("stop"), str):
        parameters["stop"] = [parameters["stop"]]
    try:
        options = GenerationOptions.model_validate(parameters).to_domain()
    except ValidationError as error:
        invalid = invalid_request(error)
        raise invalid.with_message(f"parameters.{invalid.message}", invalid.param) from None
    return body, Generate(TextInput(text=body.text_input), options)
