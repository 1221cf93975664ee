"""The gRPC server of a worker: its port, the limits of its connections, and the handler of each method."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from service.application.limits.request_bounds import RequestBounds
from service.application.services import Services
from service.domain.errors import SettingsError
from service.grpc import access_log
from service.grpc.call import Call
from service.grpc.connections import Connections
from service.grpc.credentials import CurrentCertificate, Pem
from service.grpc.health import HealthCalls
from service.grpc.inference import Inferences, ModelInferRequest
from service.grpc.messages import HEALTH, INFERENCE, REFLECTION, message
from service.grpc.methods import Methods
from service.grpc.reflection import ReflectionCalls
from service.grpc.runner import Answer, CallRunner, CallSettings, Serve
from service.grpc.stream import InferStreams
from service.open_inference.parameters import OptionsReader

#: Calls of one connection at a time. A client starts further ones when others have ended.
MAX_CALLS_OF_CONNECTION = 128
#: The least time between pings of a client without a call; after MAX_PING_STRIKES sooner ones its connection is closed.
MIN_PING_SECONDS = 10
MAX_PING_STRIKES = 2
#: A connection this old gets no further call; those under way go on. So clients spread over new workers.
MAX_CONNECTION_SECONDS = 3600
#: When the server stops: the time that cancelled calls have to end, and that answers have to leave.
CANCEL_SECONDS = 1.0
FLUSH_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """Address of the server, and limits of its connections, see docs/security.md."""

    host: str
    port: int
    max_message_bytes: int
    max_metadata_bytes: int
    max_connections: int
    max_connections_per_address: int
    handshake_seconds: float
    idle_seconds: float
    ping_seconds: float
    grace_seconds: float


class GrpcServer:
    """gRPC server on a port that the workers of a supervisor share. Use it within the event loop.

    `certificate` returns the one of the port; without it there is no TLS.
    """

    def __init__(
        self,
        services: Services,
        bounds: RequestBounds,
        calls: CallSettings,
        connections: ConnectionSettings,
        read_options: OptionsReader,
        *,
        certificate: Callable[[], Pem] | None = None,
    ) -> None:
        access_log.silence_library()
        self._settings = connections
        self._certificate = certificate
        proxies = calls.proxies
        self._connections = Connections(connections.port, connections.max_connections_per_address, proxies)
        self._runner = CallRunner(
            bounds, services.observer, services.clock, calls, self._connections, trace_call=services.trace_call
        )
        # Its own limit of calls would count those that have ended and whose answer the client does not read.
        self._server = grpc.aio.server(options=_options(connections))
        self._server.add_generic_rpc_handlers((Handlers(_routes(services, self._runner, read_options), self._runner),))
        self._bounding: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[Any] | None = None

    async def start(self) -> None:
        """Listen on the port, whose number the supervisor has found out. Raises SettingsError."""
        host = self._settings.host
        address = f"{f'[{host}]' if ':' in host else host}:{self._settings.port}"
        try:
            if self._certificate is None:
                self._server.add_insecure_port(address)
            else:
                self._server.add_secure_port(address, CurrentCertificate(self._certificate).credentials())
        except RuntimeError:
            raise SettingsError(f"cannot listen on {address}, UNROLL_GRPC_PORT: expected a free port") from None
        await self._server.start()
        self._bounding = asyncio.get_running_loop().create_task(self._connections.bound())

    @property
    def is_busy(self) -> bool:
        """Whether calls are under way."""
        return self._runner.running > 0

    def drain(self) -> None:
        """Accept no further connections and calls, and have clients go elsewhere; calls under way are finished."""
        if self._stopping is None:
            self._runner.stopping.set()
            self._stopping = asyncio.get_running_loop().create_task(self._server.stop(self._settings.grace_seconds))

    async def cancel(self) -> None:
        """Cancel the calls that are under way, answer them, and stop."""
        self.drain()
        await self._runner.cancel(CANCEL_SECONDS)
        # The library cancels what has ended and is not sent yet, so the last answers get a moment.
        await self._server.stop(FLUSH_SECONDS)
        if self._bounding is not None:
            self._bounding.cancel()


class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types
    """Handlers of the methods that the server has.

    Messages are bytes for gRPC, and all calls are streams. So no message is received before its call is admitted, and a
    call lasts until its answer is read. On the wire it is the same.
    """

    def __init__(self, routes: dict[str, Serve], runner: CallRunner) -> None:
        self._handlers = {route: _handler(runner, route, serve) for route, serve in routes.items()}

    def service(self, handler_call_details: Any) -> Any:  # noqa: ANN401 - grpc has no types
        return self._handlers.get(handler_call_details.method)


def _handler(runner: CallRunner, route: str, serve: Serve) -> Any:  # noqa: ANN401 - likewise
    async def handle(_: Any, context: Any) -> None:  # noqa: ANN401 - likewise
        await runner.run(context, route, serve)

    return grpc.stream_stream_rpc_method_handler(handle)


def _routes(services: Services, runner: CallRunner, read_options: OptionsReader) -> dict[str, Serve]:
    """Return the handler of each method by its route."""
    methods, health, reflection = Methods(services), HealthCalls(services.health, runner), ReflectionCalls(runner)
    inferences = Inferences(services.inference, services.inference_observer, services.clock, read_options)
    unary: dict[str, tuple[Any, Answer]] = {
        "ModelReady": (message("ModelReadyRequest"), methods.model_ready),
        "ServerMetadata": (message("ServerMetadataRequest"), methods.server_metadata),
        "ModelMetadata": (message("ModelMetadataRequest"), methods.model_metadata),
        "ModelConfig": (message("ModelConfigRequest"), methods.model_config),
        "ModelStatistics": (message("ModelStatisticsRequest"), methods.model_statistics),
        "ModelInfer": (ModelInferRequest, inferences.answer),
        "RepositoryIndex": (message("RepositoryIndexRequest"), methods.repository_index),
        "RepositoryModelLoad": (message("RepositoryModelLoadRequest"), methods.repository_model_load),
        "RepositoryModelUnload": (message("RepositoryModelUnloadRequest"), methods.repository_model_unload),
    }
    exempt: dict[str, Serve] = {
        f"{INFERENCE}/ServerLive": health.live,
        f"{INFERENCE}/ServerReady": health.ready,
        f"{HEALTH}/Check": health.check,
        f"{HEALTH}/Watch": health.watch,
        **{f"{name}/ServerReflectionInfo": reflection.info for name in REFLECTION},
    }
    return {
        **{f"/{INFERENCE}/{name}": _unary(runner, *entry) for name, entry in unary.items()},
        f"/{INFERENCE}/ModelStreamInfer": InferStreams(inferences, runner).serve,
        **{f"/{name}": partial(_exempt, runner, serve) for name, serve in exempt.items()},
    }


def _unary(runner: CallRunner, request: Any, answer: Answer) -> Serve:  # noqa: ANN401 - protobuf has no types
    async def serve(call: Call) -> None:
        await runner.unary(call, request, answer)

    return serve


async def _exempt(runner: CallRunner, serve: Serve, call: Call) -> None:
    await runner.exempt(call, serve)


def _options(settings: ConnectionSettings) -> tuple[tuple[str, int], ...]:
    ping = int(1000 * settings.ping_seconds)
    return (
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", -1),  # answers are bounded by what a request may cost
        ("grpc.max_metadata_size", settings.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", settings.max_metadata_bytes),
        ("grpc.max_concurrent_streams", MAX_CALLS_OF_CONNECTION),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.server_handshake_timeout_ms", int(1000 * settings.handshake_seconds)),
        ("grpc.max_connection_idle_ms", int(1000 * settings.idle_seconds)),
        ("grpc.max_connection_age_ms", 1000 * MAX_CONNECTION_SECONDS),
        ("grpc.keepalive_time_ms", ping),
        ("grpc.keepalive_timeout_ms", ping),
        ("grpc.http2.min_ping_interval_without_data_ms", 1000 * MIN_PING_SECONDS),
        ("grpc.http2.max_ping_strikes", MAX_PING_STRIKES),
    )
