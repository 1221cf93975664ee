"""Schemas of the Open Inference Protocol: those of requests validate, those of responses are documentation only."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service.http.schemas.errors import Responses
from service.http.schemas.strict import Schema, Text

MAX_TENSORS = 64
#: A parameter as the protocol has them; `quantiles` may also be a list.
Parameters = dict[str, Any]


class OpenInferenceError(BaseModel):
    """Every error under /v2."""

    error: str


class ServerMetadata(BaseModel):
    """Name and release of the server, and the extensions of the protocol that it serves."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """A tensor of a model; -1 is any size, and the first one that of the batch."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """The versions of a model and its tensors."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ModelConfiguration(BaseModel):
    """The configuration of a model in Triton's form; `sequence_batching` is there if the model has sequences."""

    name: str
    platform: str
    backend: str
    version_policy: dict[str, Any]
    max_batch_size: int
    input: list[dict[str, Any]]
    output: list[dict[str, Any]]
    parameters: dict[str, Any]
    sequence_batching: dict[str, Any] | None = None


class Statistics(BaseModel):
    """Statistics of models in Triton's form; times are in nanoseconds."""

    model_stats: list[dict[str, Any]]


class IndexEntry(BaseModel):
    """A version of a model, and whether it is ready."""

    name: str
    version: str
    state: str
    reason: str


class IndexBody(Schema):
    """Which versions to list."""

    ready: bool = Field(False, description="Only those that are ready")


class LoadBody(Schema):
    """A load has no parameters: a model is as its folder describes it."""

    parameters: Parameters = Field(default_factory=dict, description="None is supported, such as `config`")


class UnloadBody(Schema):
    """An unload has one parameter, which changes nothing: no model depends on another one."""

    parameters: Parameters = Field(default_factory=dict, description="`unload_dependents`: a boolean")


class InferInput(Schema):
    """An input tensor: its elements in `data`, nested or flat, or `binary_data_size` bytes behind the JSON."""

    name: Text = Field(max_length=256)
    shape: list[int] = Field(min_length=1, max_length=8)
    datatype: str = Field(max_length=16)
    parameters: Parameters = Field(default_factory=dict)
    data: list[Any] | None = None


class InferOutput(Schema):
    """A requested output; `binary_data` in `parameters` asks for bytes behind the JSON."""

    name: Text = Field(max_length=256)
    parameters: Parameters = Field(default_factory=dict)


class InferBody(Schema):
    """A request for an inference."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "inputs": [{"name": "TEXT", "shape": [1, 1], "datatype": "BYTES", "data": ["How are"]}],
                    "outputs": [{"name": "TOP_TOKENS"}],
                    "parameters": {"sequence_id": 42, "sequence_start": True, "top_k": 3},
                }
            ]
        }
    )
    id: Text | None = None
    parameters: Parameters = Field(default_factory=dict)
    inputs: list[InferInput] = Field(min_length=1, max_length=MAX_TENSORS, fail_fast=True)
    outputs: list[InferOutput] | None = Field(None, max_length=MAX_TENSORS, fail_fast=True)


class GenerateBody(Schema):
    """A text to continue; `parameters` are the options of a generation."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text_input": "I would like", "parameters": {"max_tokens": 8}}]}
    )
    id: Text | None = None
    text_input: Text
    parameters: Parameters = Field(default_factory=dict)


class GenerateResult(BaseModel):
    """The continuation of a text."""

    id: str | None = None
    model_name: str
    model_version: str
    text_output: str


class InferredTensor(BaseModel):
    """An output tensor: its elements, flat, or the size of its bytes behind the JSON."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] | None = None
    data: list[Any] | None = None


class InferResult(BaseModel):
    """The answer to an inference."""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[InferredTensor]


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
        403: "A web page, a request to another host, or a tenant that may not do this",
        404: "No such model, version or sequence",
        413: "The body or the input is too long",
        415: "The body is of another type or encoding",
        422: "A field is wrong",
        429: "This client sends too much; try again after Retry-After seconds",
        503: "Try again after Retry-After seconds",
    }
)


def _inline(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema in which each reference to its own definitions is replaced by the definition."""
    definitions = schema.pop("$defs", {})

    def replace(value: Any) -> Any:  # noqa: ANN401 - any part of a JSON schema
        if isinstance(value, dict):
            reference = value.get("$ref", "").removeprefix("#/$defs/")
            return replace(definitions[reference]) if reference else {key: replace(item) for key, item in value.items()}
        return [replace(item) for item in value] if isinstance(value, list) else value

    inlined: dict[str, Any] = replace(schema)
    return inlined


def optional_body(schema: type[Schema]) -> dict[str, Any]:
    """Return the description of a body that may be left out."""
    content = {"application/json": {"schema": _inline(schema.model_json_schema())}}
    return {"requestBody": {"required": False, "content": content}}


INFER_ERRORS = ERRORS | _errors(
    {
        409: "The sequence stands at another step",
        410: "The session of the sequence runs on a model version that is gone",
    }
)
#: The body of an inference: JSON, or JSON and the bytes of tensors.
INFER_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _inline(InferBody.model_json_schema())},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
GENERATE_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": _inline(GenerateBody.model_json_schema())}},
    }
}
STREAMED: Responses = {
    200: {
        "description": "Server-Sent Events: a GenerateResult for each piece of text, or an error",
        "content": {"text/event-stream": {}},
    }
}
MODEL_READY_ERRORS = {status: value for status, value in ERRORS.items() if status not in {404, 503}} | {
    503: {"description": "Not served, or not loaded yet"}
}
