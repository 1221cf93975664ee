"""Attempts that are no plain requests: frames of a WebSocket and calls of gRPC."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
from websockets.asyncio.client import connect

from service.grpc.messages import message
from tests.attack.foreign.known import WORDS, Known, made_up, near
from tests.attack.foreign.template import SUBJECT, Told
from tests.attack.foreign.tenants import MODEL, NO_MODEL, RESTRICTED

SECONDS = 30.0
_FRAMES = 8
_SERVICE = "/inference.GRPCInferenceService"
#: Calls about a model: method, and the field of its name.
_MODEL_CALLS = [
    ("ModelMetadata", "name"),
    ("ModelConfig", "name"),
    ("ModelStatistics", "name"),
    ("RepositoryModelLoad", "model_name"),
    ("RepositoryModelUnload", "model_name"),
]


@dataclass(frozen=True, slots=True)
class Pair:
    """What was answered about a thing of another tenant, and about one that does not exist."""

    kind: str
    request: str
    told: Told
    other: Told


async def frames(choose: random.Random, known: Known, port: int, key: str) -> list[Pair]:
    """Steps of sessions of others on a WebSocket for many sessions."""
    subjects = list({known.session(choose) for _ in range(_FRAMES)})
    pairs = [(subject, made_up(choose)) for subject in subjects]
    ids = [identity for pair in pairs for identity in pair]
    answers = dict[str, Told]()
    async with (
        asyncio.timeout(SECONDS),
        connect(
            f"ws://127.0.0.1:{port}/v1/stream", additional_headers={"Authorization": f"Bearer {key}"}, compression=None
        ) as socket,
    ):
        for place in choose.sample(range(len(ids)), len(ids)):
            await socket.send(json.dumps({"session_id": ids[place], "id": ids[place], "step": 3} | WORDS))
        while len(answers) < len(ids):
            answer = json.loads(await socket.recv())
            subject = str(answer.get("id"))
            code = str(answer.get("error", {}).get("code", ""))
            answers[subject] = Told("frame", code, json.dumps(answer, sort_keys=True).replace(subject, SUBJECT))
    return [Pair("frame", subject, answers[subject], answers[absent]) for subject, absent in pairs]


async def call(choose: random.Random, known: Known, channel: grpc.aio.Channel, key: str) -> Pair:
    """A call of gRPC: a step of a sequence, in a stream or not, or something about a model."""
    if choose.random() < 0.3:
        method, field = choose.choice(_MODEL_CALLS)
        return Pair(
            "gRPC model",
            RESTRICTED,
            *[await _ask(channel, method, {field: name}, key, name) for name in (RESTRICTED, NO_MODEL)],
        )
    begun = choose.choice(known.tenant(choose).sequences)
    name, absent = choose.choice(
        [(begun.name, near(choose, begun.name, len("sequence "))), (begun.session, made_up(choose))]
    )
    parameters: dict[str, Any] = choose.choice([{}, {"sequence_end": True}, {"step": 1}, {"step": 0}])
    ask = choose.choice([_infer, _stream])
    return Pair("gRPC sequence", name, *[await ask(channel, one, parameters, key) for one in (name, absent)])


def _metadata(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"), ("x-forwarded-for", "127.0.0.1"), ("x-tenant", "tenant-one"))


async def _ask(channel: grpc.aio.Channel, method: str, fields: dict[str, str], key: str, subject: str) -> Told:
    """A call with one message."""
    request, response = message(f"{method}Request"), message(f"{method}Response")
    asked = channel.unary_unary(f"{_SERVICE}/{method}", request.SerializeToString, response.FromString)
    return await _told(asked(request(**fields), metadata=_metadata(key), timeout=SECONDS), subject)


def _inference(name: str, parameters: dict[str, Any]) -> Any:
    request = message("ModelInferRequest")(model_name=MODEL)
    tensor = request.inputs.add(name="TEXT", datatype="BYTES", shape=[1, 1])
    tensor.contents.bytes_contents.append(b"the")
    request.outputs.add(name="TOP_TOKENS")
    request.parameters["sequence_id"].string_param = name
    for field, value in parameters.items():
        kind = "bool_param" if isinstance(value, bool) else "int64_param"
        setattr(request.parameters[field], kind, value)
    return request


async def _infer(channel: grpc.aio.Channel, name: str, parameters: dict[str, Any], key: str) -> Told:
    request, response = message("ModelInferRequest"), message("ModelInferResponse")
    asked = channel.unary_unary(f"{_SERVICE}/ModelInfer", request.SerializeToString, response.FromString)
    return await _told(asked(_inference(name, parameters), metadata=_metadata(key), timeout=SECONDS), name)


async def _stream(channel: grpc.aio.Channel, name: str, parameters: dict[str, Any], key: str) -> Told:
    """One request on a stream: a refusal is a message of it."""
    request, response = message("ModelInferRequest"), message("ModelStreamInferResponse")
    asked = channel.stream_stream(f"{_SERVICE}/ModelStreamInfer", request.SerializeToString, response.FromString)

    async def requests() -> AsyncIterator[Any]:
        yield _inference(name, parameters)

    async def first() -> Any:
        async for answer in asked(requests(), metadata=_metadata(key), timeout=SECONDS):
            return answer
        return None

    answer = await first()
    text = "" if answer is None else str(answer.error_message)
    return Told("stream", "refused" if text else "", str(answer).replace(name, SUBJECT))


async def _told(asked: Any, subject: str) -> Told:
    started = time.monotonic()
    try:
        answer = str(await asked)
        return Told("OK", "", answer.replace(subject, SUBJECT), time.monotonic() - started)
    except grpc.aio.AioRpcError as error:
        metadata = sorted(pair for pair in error.trailing_metadata() or () if pair[0] != "x-request-id")
        text = f"{error.details()} {metadata}".replace(subject, SUBJECT)
        return Told(error.code().name, "refused", text, time.monotonic() - started)
