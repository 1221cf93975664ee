"""Clients that step sequences of the Open Inference Protocol with Triton's own asynchronous client for REST."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from tritonclient.http import InferInput, InferRequestedOutput
from tritonclient.http.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from tests.chaos.http1 import NOTHING, Reply
from tests.chaos.packages.sequences import Ask, SequenceClient, refusal


@dataclass(slots=True, eq=False)
class InferenceClient(SequenceClient):
    """One client, which sends one request after the other."""

    plan = "inference"

    def connect(self) -> Any:
        return InferenceServerClient(f"127.0.0.1:{self.port}", conn_timeout=4.0)

    async def exchange(self, client: Any, asks: Sequence[Ask]) -> list[Reply]:
        ask, binary = asks[0], self.choose.random() < 0.5
        tensors = [InferInput(name, [*elements.shape], datatype) for name, datatype, elements in ask.tensors()]
        for tensor, (_, _, elements) in zip(tensors, ask.tensors(), strict=True):
            tensor.set_data_from_numpy(elements, binary_data=binary)
        outputs = [InferRequestedOutput(name, binary_data=binary) for name in ask.outputs]
        try:
            result = await client.infer(self.role.model, tensors, outputs=outputs, headers=self.headers, **ask.terms)
        except InferenceServerException as error:
            return [refusal(str(error.message()), int(error.status() or 0))]
        except (aiohttp.ClientError, OSError):  # TimeoutError is an OSError
            return [NOTHING]
        given = [result.as_numpy(name) for name in ask.outputs]
        return [ask.reply(self.role.model, result.get_response()["parameters"], given)]
