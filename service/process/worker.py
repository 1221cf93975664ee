"""Entry point of a worker process: uvicorn on the supervisor's socket. Only `service/process/supervisor.py` starts it.

    python -m service.process.worker LISTEN_FD CONTROL_FD SUPERVISOR_PID

CONTROL_FD is the worker's end of the control socket to the supervisor, see service/process/worker_process.py.
"""

import gc

if __name__ == "__main__":
    # Until the models are loaded: what is made stays, and collections would take a sixth of the time that this takes.
    gc.disable()

import asyncio
import contextlib
import faulthandler
import functools
import ipaddress
import logging
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import uvicorn

from service import settings as configuration
from service.bootstrap.servers import GrpcListener
from service.bootstrap.worker import NO_OVERRIDES, Overrides, Worker, running_worker
from service.domain.errors import ReloadedFileError, SettingsError
from service.process.connections import open_files
from service.process.connections.limits import connection_limits
from service.process.connections.listeners import duplicate_listeners
from service.process.connections.protocol import HttpProtocol
from service.process.connections.refusals import UNREAD
from service.process.connections.table import ConnectionTable
from service.process.connections.websocket import WebSocket
from service.process.graceful_shutdown import GracefulShutdown
from service.process.orphan_guard import guard
from service.process.supervisor_link import SupervisorLink
from service.process.tls import over_tls
from service.process.worker_process import DUMP_STACKS, EX_CONFIG, EX_SOFTWARE, KILL_MARGIN_SECONDS
from service.settings import Settings
from service.telemetry import logs

log = logging.getLogger(__name__)

#: Maximum wait for cancelled requests to be answered, and again for these answers to be read.
CANCEL_SECONDS = 1
_POLLS = 20


class Server(uvicorn.Server):
    """uvicorn's server without signal handlers of its own: the worker decides when it stops."""

    def __init__(
        self, config: uvicorn.Config, on_started: Callable[[], None], grpc: GrpcListener | None = None
    ) -> None:
        super().__init__(config)
        self._grpc = grpc
        self._on_started = on_started

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._grpc is not None:
            await self._grpc.start()
        await super().startup(sockets)
        self._on_started()

    def stop_accepting(self) -> None:
        for server in self.servers:
            server.close()

    def connected(self) -> bool:
        return bool(self.server_state.connections) or (self._grpc is not None and self._grpc.is_busy)

    def close_idle(self) -> None:
        for connection in list(self.server_state.connections):
            connection.shutdown()

    def move_streams(self) -> None:
        if self._grpc is not None:
            self._grpc.drain()
        for connection in list(self.server_state.connections):
            if isinstance(connection, WebSocket):
                connection.shutdown()

    async def cancel_requests(self) -> None:
        # Their requests wait for the clients to read, and have nothing to tell them any more.
        _disconnect(
            [
                connection
                for connection in self.server_state.connections
                if isinstance(connection, HttpProtocol) and connection.flow.write_paused
            ]
        )
        await asyncio.sleep(0)
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            log.warning("grace time over; cancelling requests", extra={"requests": len(tasks)})
            await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
        if self._grpc is not None:
            await self._grpc.cancel()
        await self._close_unread()

    async def _close_unread(self) -> None:
        """Close the connections whose clients do not read their last answer."""
        for _ in range(_POLLS):
            if not self.server_state.connections:
                return
            await asyncio.sleep(CANCEL_SECONDS / _POLLS)
        _disconnect(cast("list[HttpProtocol | WebSocket]", list(self.server_state.connections)))


def _disconnect(connections: Sequence[HttpProtocol | WebSocket]) -> None:
    """Close connections whose clients do not read."""
    if connections:
        log.warning("grace time over; closing connections", extra={"connections": len(connections)})
    for connection in connections:
        connection.abort(UNREAD)


async def serve(
    settings: Settings, listener: socket.socket, control_socket: socket.socket, overrides: Overrides = NO_OVERRIDES
) -> int:
    """Serve until SIGTERM, or until the supervisor or the engine dies; return the exit status."""
    async with running_worker(settings, overrides) as worker:
        shutdown = GracefulShutdown(
            worker.admission, drain_seconds=settings.drain_seconds, grace_seconds=settings.grace_seconds
        )
        link = SupervisorLink(control_socket, shutdown, settings.watchdog_seconds)
        server = Server(uvicorn_config(settings, worker), link.open, worker.grpc)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_shut_down(server, shutdown))
            watching = tasks.create_task(_stop_with_engine(worker, shutdown))
            await _serve_on(duplicate_listeners(listener), server)
            status = EX_SOFTWARE if watching.done() else 0
            watching.cancel()
    log.info("worker stopped")
    return status


def uvicorn_config(settings: Settings, worker: Worker) -> uvicorn.Config:
    """Return what uvicorn needs to serve a worker. Use it within the event loop."""
    limits = connection_limits(settings, open_files.raise_limit())
    if limits.max_connections < settings.max_connections:
        log.warning("the limit of open files allows fewer connections", extra={"connections": limits.max_connections})
    table = ConnectionTable(limits)
    websockets = functools.partial(
        WebSocket, table, worker.refusals, settings.max_body_bytes, settings.websocket_ping_seconds
    )
    protocol: Callable[..., asyncio.Protocol] = functools.partial(
        HttpProtocol,
        table=table,
        refusals=worker.refusals,
        websockets=websockets if "websocket" in settings.protocols else None,
    )
    if worker.certificate is not None:
        protocol = over_tls(protocol, worker.certificate, worker.refusals, limits.header_timeout_seconds)
    return uvicorn.Config(
        worker.app,
        http=cast("type[asyncio.Protocol]", protocol),
        ws="none",  # HttpProtocol serves WebSockets
        log_config=None,
        access_log=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=_address_forms(settings.trusted_proxies),
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=CANCEL_SECONDS,
    )


def _address_forms(networks: Sequence[str]) -> list[str]:
    """Return addresses or networks, those of IPv4 also as a socket for both kinds of addresses shows them."""
    parsed = [ipaddress.ip_network(network) for network in networks]
    mapped = [
        f"::ffff:{network.network_address}/{96 + network.prefixlen}" for network in parsed if network.version == 4
    ]
    return [*map(str, parsed), *mapped]


async def _serve_on(listeners: Sequence[socket.socket], server: uvicorn.Server) -> None:
    """Serve on sockets, and close them: uvicorn does so only if it is not cancelled."""
    with contextlib.ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(listener)
        await server.serve(sockets=list(listeners))


async def _shut_down(server: Server, shutdown: GracefulShutdown) -> None:
    try:
        await shutdown.run(server)
    finally:
        server.should_exit = True


async def _stop_with_engine(worker: Worker, shutdown: GracefulShutdown) -> None:
    """Stop a worker whose engine has died, so that the supervisor starts another one."""
    await worker.engine_ended()
    shutdown.begin(alone=True)
    shutdown.skip_drain()


def main(overrides: Overrides = NO_OVERRIDES) -> int:
    """Run the worker and return its exit status."""
    # Crashes and DUMP_STACKS write the stacks of all threads, whatever the event loop does.
    faulthandler.enable()
    faulthandler.register(DUMP_STACKS)
    listener, control_socket = (socket.socket(fileno=int(fd)) for fd in sys.argv[1:3])
    control_socket.setblocking(False)
    try:
        settings = configuration.load()
        logs.configure(settings.log_level, settings.log_format)
        guard(int(sys.argv[3]), settings.grace_seconds + KILL_MARGIN_SECONDS)
        with asyncio.Runner(loop_factory=uvicorn.Config("", log_config=None).get_loop_factory()) as runner:
            return runner.run(serve(settings, listener, control_socket, overrides))
    except ReloadedFileError as error:
        # It was valid when the service started, and may be again: the supervisor tries once more, and does not stop.
        log.critical(f"{error.subject} cannot be used", extra={"reason": str(error)})
        return EX_SOFTWARE
    except SettingsError as error:
        log.critical("invalid settings", extra={"reason": str(error)})
        return EX_CONFIG


if __name__ == "__main__":
    sys.exit(main())
