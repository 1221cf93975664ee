"""Reflection: the standard service by which clients such as grpcurl learn the methods and their messages."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

from service.domain.errors import DeadlineExceeded
from service.grpc.call import Call
from service.grpc.messages import HEALTH, INFERENCE, POOL, REFLECTION
from service.grpc.runner import CallRunner, parse


class ReflectionCalls:
    """Calls of the reflection service. They need a key, as the description of the HTTP API does."""

    def __init__(self, runner: CallRunner) -> None:
        self._runner = runner
        self._servicer = ReflectionServicer((INFERENCE, HEALTH, REFLECTION[0]), POOL)

    async def info(self, call: Call) -> None:
        """Answer ServerReflectionInfo until the client ends it, or a request's time is over."""
        settings = self._runner.settings
        if not settings.public_operations:
            await self._runner.authenticate(call)
        try:
            async with asyncio.timeout(settings.request_seconds):
                async for response in self._servicer.ServerReflectionInfo(_requests(call), None):
                    await call.write(response.SerializeToString(), settings.write_seconds)
        except TimeoutError:
            raise DeadlineExceeded(f"reflection takes longer than {settings.request_seconds:g} s") from None


async def _requests(call: Call) -> AsyncIterator[Any]:
    while (content := await call.read()) is not None:
        yield parse(reflection_pb2.ServerReflectionRequest, content)
