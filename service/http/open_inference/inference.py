"""Requests and responses of an inference, between their bytes and the application's values."""

from dataclasses import dataclass

from pydantic import ValidationError

from service.application.inference import InferenceRequest, InferenceResponse, TensorModel
from service.application.sessions.serializers import encode
from service.domain.errors import InvalidRequest
from service.domain.operations import Json
from service.domain.tensors import SIZES, Tensor, pack
from service.http.body_sizes import SizeLimits
from service.http.json_body import invalid_request, parse_large
from service.http.middleware.headers import Headers
from service.http.open_inference.body import Body, read_body
from service.http.open_inference.options import read_options
from service.http.open_inference.tensors import read_inputs, to_json
from service.http.schemas.open_inference import InferBody, InferOutput
from service.open_inference.parameters import read_flag, read_parameters, response_parameters


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A request for an inference, its id, and which of its outputs travel as bytes: those of `binary`, or others."""

    request: InferenceRequest
    id: str | None
    binary: dict[str, bool]
    binary_output: bool


def read_request(content: bytes, headers: Headers, limits: SizeLimits, model: TensorModel) -> WireRequest:
    """Return the request that a body holds. Raises InvalidRequest and its subclasses."""
    parts = read_body(content, headers, limits.body_bytes)
    if parts.json is None:
        return _raw_request(parts, model)
    parsed = parse_large(parts.json, limits)
    try:
        body = InferBody.model_validate(parsed)
    except ValidationError as error:
        raise invalid_request(error) from None
    parameters = read_parameters(body.parameters, read_options)
    outputs = body.outputs or []
    request = InferenceRequest(
        read_inputs(body.inputs, parts.tensors),
        tuple(item.name for item in outputs),
        parameters.options,
        parameters.sequence,
    )
    binary = {item.name: _is_binary(item, default=parameters.binary_output) for item in outputs}
    return WireRequest(request, body.id, binary, parameters.binary_output)


def _raw_request(parts: Body, model: TensorModel) -> WireRequest:
    """Return the request whose body is the content of the model's first input, a batch of one row."""
    inputs = model.interface.inputs
    spec, *others = [spec for spec in inputs if not spec.optional] or inputs[:1]
    if others:
        raise InvalidRequest(
            f"Inference-Header-Content-Length is 0: expected JSON, since the model has the inputs {spec.name} and "
            f"{others[0].name}",
            param="inputs",
        )
    data = parts.tensors
    if spec.datatype == "BYTES":
        tensor = Tensor(spec.name, spec.datatype, (1, 1), pack("BYTES", [data]))
    else:
        known = 1
        for size in spec.shape[1:]:
            known *= max(1, size)
        rows, rest = divmod(len(data), known * SIZES[spec.datatype])
        if rest:
            raise InvalidRequest(
                f"the body has {len(data)} bytes: expected a multiple of {known * SIZES[spec.datatype]}, the size of a "
                f"row of {spec.name}",
                param=spec.name,
            )
        shape = tuple(rows if size < 0 else size for size in spec.shape[1:])
        tensor = Tensor(spec.name, spec.datatype, (1, *shape), data)
    return WireRequest(InferenceRequest({spec.name: tensor}), None, {}, binary_output=True)


def _is_binary(item: InferOutput, *, default: bool) -> bool:
    unknown = sorted(item.parameters.keys() - {"binary_data"})
    if unknown:
        raise InvalidRequest(
            f"output {item.name} has the parameter {unknown[0][:80]!r}: expected none but binary_data, since other "
            "extensions are not served",
            param="outputs",
        )
    return read_flag(item.parameters, "binary_data") if "binary_data" in item.parameters else default


def write_response(response: InferenceResponse, wire: WireRequest) -> tuple[bytes, int | None]:
    """Return the body of a response, and the length of its JSON if bytes of tensors follow it."""
    outputs: list[Json] = []
    parts: list[bytes] = []
    for tensor in response.outputs:
        output: dict[str, Json] = {"name": tensor.name, "datatype": tensor.datatype, "shape": [*tensor.shape]}
        if wire.binary.get(tensor.name, wire.binary_output):
            output["parameters"] = {"binary_data_size": len(tensor.data)}
            parts.append(tensor.data)
        else:
            output["data"] = to_json(tensor)
        outputs.append(output)
    body: dict[str, Json] = {"model_name": response.model, "model_version": response.version}
    if wire.id is not None:
        body["id"] = wire.id
    parameters = response_parameters(response, wire.request)
    if parameters:
        body["parameters"] = parameters
    body["outputs"] = outputs
    head = encode(body)
    return b"".join((head, *parts)), len(head) if parts else None
