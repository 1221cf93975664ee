"""Health: ServerLive and ServerReady, and the standard service grpc.health.v1. Any client may ask, without a key."""

import asyncio
import contextlib
from typing import Any

from grpc_health.v1 import health_pb2

from service.application.health import Health
from service.domain.errors import NotFound
from service.grpc.call import Call
from service.grpc.messages import HEALTH, INFERENCE, message
from service.grpc.runner import EXEMPT_SECONDS, CallRunner, parse, read_message

#: The names whose health is that of the worker.
SERVICES = frozenset({"", INFERENCE, HEALTH})
#: Interval at which a watch looks whether the health has changed.
WATCH_SECONDS = 1.0

Status = health_pb2.HealthCheckResponse


class HealthCalls:
    """Calls for the health of this worker."""

    def __init__(self, health: Health, runner: CallRunner) -> None:
        self._health = health
        self._runner = runner

    async def live(self, call: Call) -> bytes:  # noqa: ARG002 - a call as any other
        """Answer while the process does."""
        answer: bytes = message("ServerLiveResponse")(live=True).SerializeToString()
        return answer

    async def ready(self, call: Call) -> bytes:  # noqa: ARG002 - likewise
        """Say whether this worker should get requests."""
        readiness = await self._health.readiness()
        answer: bytes = message("ServerReadyResponse")(ready=readiness.ready).SerializeToString()
        return answer

    async def check(self, call: Call) -> bytes:
        """Answer grpc.health.v1.Health/Check."""
        service = await self._service(call)
        if service not in SERVICES:
            raise NotFound(f"service is {service[:200]!r}: expected {INFERENCE}, or none", param="service")
        return _response(await self._status())

    async def watch(self, call: Call) -> None:
        """Answer grpc.health.v1.Health/Watch: the status, and each change of it until the worker stops."""
        known = await self._service(call) in SERVICES
        last = None
        while not self._runner.stopping.is_set():
            status = await self._status() if known else Status.SERVICE_UNKNOWN
            if status != last:
                await call.write(_response(status), self._runner.settings.write_seconds)
                last = status
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_SECONDS):
                    await self._runner.stopping.wait()
        if known and last != Status.NOT_SERVING:
            await call.write(_response(Status.NOT_SERVING), self._runner.settings.write_seconds)

    async def _service(self, call: Call) -> str:
        async with asyncio.timeout(EXEMPT_SECONDS):
            request = parse(health_pb2.HealthCheckRequest, await read_message(call))
        return str(request.service)

    async def _status(self) -> Any:  # noqa: ANN401 - protobuf has no types
        return Status.SERVING if (await self._health.readiness()).ready else Status.NOT_SERVING


def _response(status: Any) -> bytes:  # noqa: ANN401 - likewise
    answer: bytes = Status(status=status).SerializeToString()
    return answer
