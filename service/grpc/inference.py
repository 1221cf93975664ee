"""ModelInfer: requests and responses of an inference, between messages and the application's values."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from service.application.inference import Inference, InferenceRequest, InferenceResponse
from service.application.ports import Clock, InferenceObserver
from service.application.request_context import RequestContext
from service.domain.errors import InvalidRequest, UnrollError
from service.domain.runtime.fair_thread import run_sized
from service.grpc.messages import message
from service.grpc.tensors import read_inputs, read_parameters, require_count, write_contents, write_parameter
from service.open_inference.parameters import OptionsReader, read_flag, response_parameters
from service.open_inference.parameters import read_parameters as interpret_parameters
from service.open_inference.timer import Timer

ModelInferRequest = message("ModelInferRequest")
ModelInferResponse = message("ModelInferResponse")

#: A parameter of streams of decoupled models, whose last response has no outputs. There are none here.
EMPTY_FINAL_RESPONSE = "triton_enable_empty_final_response"
FINAL_RESPONSE = "triton_final_response"


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A request for an inference, and whether the elements of the outputs of its response are in `contents`."""

    request: InferenceRequest
    typed: bool


class Inferences:
    """Answers requests for inferences."""

    def __init__(
        self, inference: Inference, observer: InferenceObserver, clock: Clock, read_options: OptionsReader
    ) -> None:
        self._inference = inference
        self._observer = observer
        self._clock = clock
        self._read_options = read_options

    async def answer(self, context: RequestContext, request: Any) -> Any:  # noqa: ANN401 - protobuf has no types
        """Return the response to a request."""
        return await self.run(context, request, await self.read(context, request))

    async def read(self, context: RequestContext, request: Any) -> WireRequest:  # noqa: ANN401 - likewise
        """Return what a request holds. Raises InvalidRequest."""
        read = partial(read_request, request, self._read_options)
        return await run_sized(context.cost.client, request.ByteSize(), read)

    async def run(self, context: RequestContext, request: Any, wire: WireRequest) -> Any:  # noqa: ANN401 - likewise
        """Return the response to a request that was read. Raises as `Inference.infer`."""
        model = await self._inference.model(context, request.model_name, request.model_version or None)
        timer = Timer(self._clock, context)
        timer.lap("queue")
        try:
            response = await self._inference.infer(context, model, wire.request)
            timer.lap("compute_infer")
            answer = await self._respond(context, request, wire, response)
            timer.lap("compute_output")
        except UnrollError:
            self._observer.failed(model.version, timer.total)
            raise
        self._observer.succeeded(model.version, response.rows, timer.times())
        return answer

    async def _respond(
        self,
        context: RequestContext,
        request: Any,  # noqa: ANN401 - likewise
        wire: WireRequest,
        response: InferenceResponse,
    ) -> Any:  # noqa: ANN401 - likewise
        make = partial(write_response, request, wire, response)
        return await run_sized(context.cost.client, response.size, make, rest=0)


def read_request(request: Any, read_options: OptionsReader) -> WireRequest:  # noqa: ANN401 - likewise
    """Return the request that a message holds. Raises InvalidRequest."""
    values = read_parameters("parameters", request.parameters)
    values.pop(EMPTY_FINAL_RESPONSE, None)
    parameters = interpret_parameters(values, read_options)
    require_count("outputs", request.outputs)
    typed = {_is_typed(item) for item in request.outputs if item.parameters}
    inference = InferenceRequest(
        read_inputs(request),
        tuple(item.name for item in request.outputs),
        parameters.options,
        parameters.sequence,
    )
    return WireRequest(inference, values.get("binary_data_output") is False or typed == {True})


def _is_typed(item: Any) -> bool:  # noqa: ANN401 - likewise
    parameters = read_parameters(f"parameters of output {item.name[:80]}", item.parameters)
    unknown = sorted(parameters.keys() - {"binary_data"})
    if unknown:
        raise InvalidRequest(
            f"output {item.name[:80]} has the parameter {unknown[0][:80]!r}: expected none but binary_data, since "
            "other extensions are not served",
            param="outputs",
        )
    return not read_flag(parameters, "binary_data")


def write_response(request: Any, wire: WireRequest, response: InferenceResponse) -> Any:  # noqa: ANN401 - likewise
    """Return the message of a response."""
    answer = ModelInferResponse(model_name=response.model, model_version=response.version, id=request.id)
    for name, value in response_parameters(response, wire.request).items():
        write_parameter(answer.parameters[name], value)
    if EMPTY_FINAL_RESPONSE in request.parameters:
        answer.parameters[FINAL_RESPONSE].bool_param = True
    for tensor in response.outputs:
        output = answer.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if wire.typed:
            write_contents(output, tensor)
        else:
            answer.raw_output_contents.append(tensor.data)
    return answer
