"""/v2/models/{model}/infer: predictions on tensors, stateless or as steps of sequences."""

from functools import partial

from fastapi import APIRouter, Request, Response

from service.application.inference import InferenceResponse, TensorModel
from service.domain.errors import UnrollError
from service.domain.runtime.fair_thread import run_sized
from service.http.dependencies import ContextDependency, ServicesDependency
from service.http.open_inference.body import JSON_LENGTH, compress, run_reader
from service.http.open_inference.inference import WireRequest, read_request, write_response
from service.http.schemas import open_inference as schemas
from service.open_inference.timer import Timer

router = APIRouter(prefix="/v2", tags=["open inference protocol"], responses=schemas.INFER_ERRORS)


@router.post(
    "/models/{model}/infer",
    response_model=schemas.InferResult,
    openapi_extra=schemas.INFER_REQUEST,
    summary="Infer",
)
@router.post(
    "/models/{model}/versions/{version}/infer",
    response_model=schemas.InferResult,
    openapi_extra=schemas.INFER_REQUEST,
    summary="Infer with a version",
)
async def infer(
    model: str,
    request: Request,
    services: ServicesDependency,
    context: ContextDependency,
    version: str | None = None,
) -> Response:
    """Predict for each row of a batch; with `sequence_id` the one row is the next step of a session of that name."""
    loaded = await services.inference.model(context, model, version)
    timer = Timer(services.clock, context)
    try:
        wire = await _read(request, loaded, timer)
        response = await services.inference.infer(context, loaded, wire.request)
        timer.lap("compute_infer")
        if response.step is not None:
            request.scope["state"]["progress"] = response
        answer = await _respond(request, response, wire)
        timer.lap("compute_output")
    except UnrollError:
        services.inference_observer.failed(loaded.version, timer.total)
        raise
    services.inference_observer.succeeded(loaded.version, response.rows, timer.times())
    return answer


async def _read(request: Request, model: TensorModel, timer: Timer) -> WireRequest:
    content = await request.body()
    timer.lap("queue")
    read = partial(read_request, content, request.state.headers, request.state.size_limits, model)
    wire = await run_reader(request, content, read)
    timer.lap("compute_input")
    return wire


async def _respond(request: Request, response: InferenceResponse, wire: WireRequest) -> Response:
    accepted = request.state.headers.get(b"accept-encoding", b"").strip().lower()
    make = partial(_make_response, response, wire, accepted)
    return await run_sized(request.state.context.cost.client, response.size, make, rest=0)


def _make_response(response: InferenceResponse, wire: WireRequest, accepted: bytes) -> Response:
    body, json_length = write_response(response, wire)
    content, coding = compress(body, accepted)
    answer = Response(content, media_type="application/json" if json_length is None else "application/octet-stream")
    if json_length is not None:
        answer.headers[JSON_LENGTH.decode().title()] = str(json_length)
    if response.replayed:
        answer.headers["Unroll-Replayed"] = "true"
    if coding is not None:
        answer.headers["Content-Encoding"] = coding.decode()
    return answer
