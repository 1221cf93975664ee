"""One stream of the victim over gRPC: a sequence of the Open Inference Protocol, whose answers are verified, too."""

import asyncio
import struct
import time
from dataclasses import dataclass, field
from typing import Any

import grpc

from service.grpc.messages import message
from tests.attack.evidence import Evidence, Sample
from tests.attack.expected import MODEL, Script

SECONDS = 12.0
RETRY_PAUSE = 0.1
_METHOD = "/inference.GRPCInferenceService/ModelInfer"
#: A connection of its own, which is opened again soon after it was lost.
_CHANNEL = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]
_FINAL = {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ABORTED, grpc.StatusCode.FAILED_PRECONDITION}
Request, Response = message("ModelInferRequest"), message("ModelInferResponse")


@dataclass(slots=True, eq=False)
class CallStream:
    """Steps sequences by a script until it is cancelled or stops; each step is repeated until it is answered."""

    port: int
    key: str
    pause: float
    evidence: Evidence
    stopping: asyncio.Event
    number: int
    script: Script
    sequences: int = 0
    infer: Any = field(init=False)

    async def run(self) -> None:
        while not self.stopping.is_set():
            address = f"127.0.0.1:{self.port}"
            async with grpc.aio.insecure_channel(address, options=_CHANNEL) as channel:
                self.infer = channel.unary_unary(_METHOD, Request.SerializeToString, Response.FromString)
                await self._sequence()

    async def _sequence(self) -> None:
        self.sequences += 1
        for step in range(len(self.script.bodies)):
            if not await self._step(f"victim {self.sequences}", step):
                return
            await asyncio.sleep(self.pause)

    async def _step(self, name: str, step: int) -> bool:
        """Apply one step, however often it takes; returns whether the sequence can go on."""
        effects = set[str]()
        metadata = (("authorization", f"Bearer {self.key}"),) if self.key else ()
        while True:
            sent = time.monotonic()
            try:
                response = await self.infer(self._request(name, step), metadata=metadata, timeout=SECONDS)
            except grpc.aio.AioRpcError as failure:
                self.evidence.samples.append(Sample(sent, time.monotonic(), False, self.number))
                self.evidence.refusals[f"gRPC {failure.code().name}"] += 1
                if failure.code() in _FINAL:
                    return self._refused(name, step, failure, effects)
                effects.add(str(dict(failure.trailing_metadata() or ()).get("unroll-applied", "unknown")))
                await asyncio.sleep(RETRY_PAUSE)
                continue
            self.evidence.samples.append(Sample(sent, time.monotonic(), True, self.number))
            return self._judge(name, step, response, effects)

    def _request(self, name: str, step: int) -> Any:
        body, last = self.script.bodies[step], step == len(self.script.bodies) - 1
        request = Request(model_name=MODEL)
        tensor = request.inputs.add(name="TEXT", datatype="BYTES", shape=[1, 1])
        tensor.contents.bytes_contents.append(body["input"]["text"].encode())
        for output in ("TOP_TOKENS", "TOP_PROBABILITIES"):
            request.outputs.add(name=output)
        request.parameters["sequence_id"].string_param = name
        request.parameters["step"].int64_param = step
        request.parameters["top_k"].int64_param = body["options"]["top_k"]
        request.parameters["sequence_start"].bool_param = step == 0
        request.parameters["sequence_end"].bool_param = last
        return request

    def _judge(self, name: str, step: int, response: Any, effects: set[str]) -> bool:
        """Verify an answer; False ends the sequence."""
        told = response.parameters
        if step == 0:
            self.evidence.sessions.append(told["session_id"].string_param)
        answer = {
            "step": told["step"].int64_param,
            "timesteps": self.script.timesteps[step],  # which no answer of the protocol has
            "output": {"predictions": predictions(*response.raw_output_contents)},
        }
        violation = self.script.violation(step, answer)
        if told["replayed"].bool_param and effects <= {"no"}:
            violation = f"step {step} was applied although all refusals said no"
        if not told["replayed"].bool_param and "yes" in effects:
            violation = f"step {step} was not applied although a refusal said yes"
        return self._note(name, step, violation)

    def _refused(self, name: str, step: int, failure: Any, effects: set[str]) -> bool:
        """Verify a refusal for good: a sequence is gone only if its last step was applied, whose answer was lost."""
        ended = step == len(self.script.bodies) - 1 and effects - {"no"}
        if not (ended and failure.code() is grpc.StatusCode.NOT_FOUND):
            self._note(name, step, f"answered {failure.code().name}: {failure.details()}")
        return False

    def _note(self, name: str, step: int, violation: str | None) -> bool:
        if violation is None:
            self.evidence.verified += 1
        else:
            self.evidence.violations.append(f"{name}, step {step}: {violation}")
        return violation is None


def predictions(tokens: bytes, probabilities: bytes) -> list[dict[str, Any]]:
    """The predictions that the tensors TOP_TOKENS and TOP_PROBABILITIES hold."""
    words = []
    while tokens:
        size = int.from_bytes(tokens[:4], "little")
        words.append(tokens[4 : 4 + size].decode())
        tokens = tokens[4 + size :]
    numbers = struct.unpack(f"<{len(words)}f", probabilities)
    return [{"token": word, "probability": number} for word, number in zip(words, numbers, strict=True)]
