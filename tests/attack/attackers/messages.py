"""Malformed messages of gRPC: bytes that are nearly a ModelInferRequest, for every method of the service."""

import asyncio
import importlib
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.attack.attackers.base import Tally, Target
from tests.attack.attackers.damage import damaged_bytes
from tests.attack.attackers.grammar import MODELS, NAMES, TEXTS

_SERVICE = "/inference.GRPCInferenceService/"
_METHODS = [
    "ModelInfer",
    "ModelInfer",
    "ModelInfer",
    "ModelStreamInfer",
    "ModelMetadata",
    "ModelConfig",
    "ModelReady",
    "ModelStatistics",
    "RepositoryIndex",
    "ServerMetadata",
    "NoMethod",
]
_CALLS = 6
_ANSWER_SECONDS = 10.0
_SHAPES = [[1, 1], [1], [], [0], [-1, 1], [2**40, 2**40], [2**62], [1] * 20, [3, 1]]
_TYPES = ["BYTES", "INT64", "FP32", "FP64", "BOOL", "", "X", "BF16", "bytes"]
_PARAMETERS = ["sequence_id", "sequence_start", "sequence_end", "top_k", "step", "x"]
_INTEGERS = [0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)]


@dataclass(frozen=True)
class MalformedMessages:
    """Calls with messages by the seed."""

    name: str = "messages"
    family: str = "malformed"

    def prepare(self) -> None:
        """Import gRPC, and compile the messages."""
        importlib.import_module("grpc.aio")
        importlib.import_module("service.grpc.messages")

    async def run(self, target: Target, tally: Tally) -> None:
        grpc = importlib.import_module("grpc")
        numbers = itertools.islice(itertools.count(), target.count)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{target.grpc_port}") as channel, asyncio.TaskGroup() as group:
            for _ in range(_CALLS):
                group.create_task(self._call(grpc, channel, target, tally, numbers))

    async def _call(self, grpc: Any, channel: Any, target: Target, tally: Tally, numbers: Iterator[int]) -> None:
        metadata = (("authorization", f"Bearer {target.key}"),) if target.key else ()
        for number in numbers:
            if not tally.running():
                break
            choose = random.Random(f"{self.name} {target.seed} {number}")
            method, content = choose.choice(_METHODS), message(choose)
            tally.labels["requests"] += 1
            path = _SERVICE + method
            try:
                if method == "ModelStreamInfer":
                    calls = channel.stream_stream(path)(iter([content] * 2), metadata=metadata, timeout=_ANSWER_SECONDS)
                    async for _ in calls:
                        pass
                else:
                    await channel.unary_unary(path)(content, metadata=metadata, timeout=_ANSWER_SECONDS)
                tally.labels["OK"] += 1
            except grpc.aio.AioRpcError as error:
                name = error.code().name
                tally.labels[name] += 1
                if name in {"INTERNAL", "UNKNOWN", "DATA_LOSS"}:
                    tally.failures[f"an answer {name} to {method}"] += 1
                    tally.examples.setdefault(name, f"{method} {number} {content[:200]!r} -> {error.details()}")


def message(choose: random.Random) -> bytes:
    """Return the bytes of a ModelInferRequest with odd values; half of them are damaged as well."""
    made = importlib.import_module("service.grpc.messages").message("ModelInferRequest")()
    made.model_name = choose.choice([*MODELS, *NAMES]) if choose.random() < 0.2 else choose.choice(MODELS)
    made.model_version = choose.choice(["", "", "1", "01", "x" * 300])
    for _ in range(choose.choice([0, 1, 1, 1, 2, 70])):
        _add_tensor(choose, made)
    for name in choose.sample(_PARAMETERS, choose.randrange(4)):
        kind = choose.choice(["int64_param", "bool_param", "string_param", "double_param", "uint64_param"])
        values: dict[str, Any] = {
            "int64_param": choose.choice(_INTEGERS),
            "bool_param": True,
            "string_param": _valid(choose),
            "double_param": choose.choice([float("nan"), float("inf"), 0.5]),
            "uint64_param": choose.choice([0, 2**64 - 1]),
        }
        setattr(made.parameters[name], kind, values[kind])
    if choose.random() < 0.3:
        made.raw_input_contents.append(choose.randbytes(choose.choice([0, 3, 4, 8, 5000])))
    content: bytes = made.SerializeToString()
    return damaged_bytes(choose, content) if choose.random() < 0.5 else content


def _add_tensor(choose: random.Random, made: Any) -> None:
    name = choose.choice(["TEXT", "TEXT", "IDS", "VALUES", "TIMESTAMPS", "", "text"])
    datatype, shape = choose.choice(["BYTES", *_TYPES]), choose.choice([[1, 1], *_SHAPES])
    tensor = made.inputs.add(name=name, datatype=datatype, shape=shape)
    contents = tensor.contents
    for _ in range(choose.choice([0, 1, 1, 3])):
        kind = choose.randrange(4)
        if kind == 0:
            contents.bytes_contents.append(choose.choice([b"tea", b"\xff", b"\x00", b"w" * 70_000]))
        elif kind == 1:
            contents.bytes_contents.append(_valid(choose).encode())
        elif kind == 2:
            contents.int64_contents.append(choose.choice(_INTEGERS))
        else:
            contents.fp32_contents.append(choose.choice([0.5, float("nan"), float("inf"), 3e38]))


def _valid(choose: random.Random) -> str:
    """Return a text that protobuf takes."""
    return choose.choice(TEXTS).encode("utf-8", "replace").decode()
