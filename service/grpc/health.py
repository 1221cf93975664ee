"""Health: ServerLive and ServerReady, and the standard service grpc.health.v1. Any client may ask, without a key."""

import asyncio
import contextlib
from typing import Any

from grpc_health.v1 import health_pb2

from service.application.health import Health
from service.domain.errors import DeadlineExceeded, NotFound
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

    async def live(self, call: Call) -> None:
        """Answer while the process does."""
        await self._write(call, message("ServerLiveResponse")(live=True))

    async def ready(self, call: Call) -> None:
        """Say whether this worker should get requests."""
        readiness = await self._health.readiness()
        await self._write(call, message("ServerReadyResponse")(ready=readiness.ready))

    async def check(self, call: Call) -> None:
        """Answer grpc.health.v1.Health/Check."""
        service = await self._service(call)
        if service not in SERVICES:
            raise NotFound(f"service is {service[:200]!r}: expected {INFERENCE}, or none", param="service")
        await self._write(call, Status(status=await self._status()))

    async def watch(self, call: Call) -> None:
        """Answer grpc.health.v1.Health/Watch: the status, and each change of it until the worker stops."""
        known = await self._service(call) in SERVICES
        last = None
        while not self._runner.stopping.is_set():
            status = await self._status() if known else Status.SERVICE_UNKNOWN
            if status != last:
                await self._write(call, Status(status=status))
                last = status
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_SECONDS):
                    await self._runner.stopping.wait()
        if known and last != Status.NOT_SERVING:
            await self._write(call, Status(status=Status.NOT_SERVING))

    async def _service(self, call: Call) -> str:
        try:
            async with asyncio.timeout(EXEMPT_SECONDS):
                content = await read_message(call)
        except TimeoutError:
            raise DeadlineExceeded(f"the message did not arrive within {EXEMPT_SECONDS:g} s") from None
        return str(parse(health_pb2.HealthCheckRequest, content).service)

    async def _write(self, call: Call, answer: Any) -> None:  # noqa: ANN401 - protobuf has no types
        await call.write(answer.SerializeToString(), self._runner.settings.write_seconds)

    async def _status(self) -> Any:  # noqa: ANN401 - likewise
        return Status.SERVING if (await self._health.readiness()).ready else Status.NOT_SERVING
