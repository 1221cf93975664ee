"""Clients that step sequences of the Open Inference Protocol with Triton's own asynchronous client for gRPC."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from service.grpc.errors import HTTP_STATUS
from tests.chaos.http1 import NOTHING, Reply
from tests.chaos.packages.sequences import Ask, SequenceClient, refusal

_SECONDS = 4.0
_WINDOW = 6
#: How often a client of streams goes away after the first answer.
_LEAVES = 0.05
#: Statuses that leave open what became of a call.
_TEMPORARY = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"}
#: What the library says itself of an answer that ended without a status: through a proxy whose replica was killed, or
#: if the connection was lost between two batches of a call.
_CUT = ("Stream removed", "Internal error from Core")
#: A connection of its own for each client, which is opened again soon after it was lost.
_CHANNEL = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2000),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
_STATUS_OF = {code.name: status for code, status in HTTP_STATUS.items()}


@dataclass(slots=True, eq=False)
class GrpcClient(SequenceClient):
    """One client, which sends one call after the other."""

    plan = "grpc"

    def connect(self) -> Any:
        return InferenceServerClient(f"127.0.0.1:{self.grpc_port}", channel_args=_CHANNEL)

    async def exchange(self, client: Any, asks: Sequence[Ask]) -> list[Reply]:
        terms = asks[0].terms | {"client_timeout": _SECONDS, "headers": self.headers}
        try:
            result = await client.infer(self.role.model, **_tensors(asks[0]), **terms)
        except InferenceServerException as error:
            return [_refusal(str(error.message()), str(error.status()).removeprefix("StatusCode."))]
        return [self.answer(asks[0], result)]

    def answer(self, ask: Ask, result: Any) -> Reply:
        told = {name: _value(parameter) for name, parameter in result.get_response().parameters.items()}
        return ask.reply(self.role.model, told, [result.as_numpy(name) for name in ask.outputs])


@dataclass(slots=True, eq=False)
class StreamClient(GrpcClient):
    """One client, which sends several requests on a stream before their answers are there, and goes away at times."""

    plan = "grpc stream"

    @property
    def window(self) -> int:
        return _WINDOW

    async def exchange(self, client: Any, asks: Sequence[Ask]) -> list[Reply]:
        async def requests() -> AsyncIterator[dict[str, Any]]:
            for ask in asks:
                yield {"model_name": self.role.model, **_tensors(ask), **ask.terms}

        replies = list[Reply]()
        leaves = self.choose.random() < _LEAVES
        stream = client.stream_infer(requests(), stream_timeout=_SECONDS, headers=self.headers)
        try:
            async for result, error in stream:
                ask = asks[len(replies)]
                replies.append(self.answer(ask, result) if error is None else refusal(str(error.message()), 0))
                if leaves:
                    self.shared.operations["streams of gRPC left"] += 1
                    stream.cancel()
                    break
        except grpc.RpcError as error:
            replies.append(_refusal(str(error.details()), error.code().name))
        return replies[: len(asks)]  # a stream may also fail after its last answer


def _tensors(ask: Ask) -> dict[str, Any]:
    tensors = [InferInput(name, [*elements.shape], datatype) for name, datatype, elements in ask.tensors()]
    for tensor, (_, _, elements) in zip(tensors, ask.tensors(), strict=True):
        tensor.set_data_from_numpy(elements)
    return {"inputs": tensors, "outputs": [InferRequestedOutput(name) for name in ask.outputs]}


def _value(parameter: Any) -> Any:
    return getattr(parameter, parameter.WhichOneof("parameter_choice"))


def _refusal(message: str, status: str) -> Reply:
    return (
        NOTHING if status in _TEMPORARY or message.startswith(_CUT) else refusal(message, _STATUS_OF.get(status, 500))
    )
