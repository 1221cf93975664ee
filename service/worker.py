"""One worker process: uvicorn on the supervisor's socket. Started by `service/supervisor.py` only.

    python -m service.worker LISTEN_FD LIFE_FD

LIFE_FD is a pipe whose other end the supervisor holds: when it closes, the supervisor is dead, and so is the worker.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Iterator

import uvicorn

from service import settings as configuration
from service.bootstrap import PLAIN, Fittings, Worker, running_worker
from service.errors import SettingsError
from service.settings import Settings
from service.supervisor import EX_CONFIG
from service.telemetry import logs

log = logging.getLogger(__name__)

#: sysexits.h: the worker found itself broken.
EX_SOFTWARE = 70


class Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: the worker decides how it ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: Settings, listener: socket.socket, life: int, fittings: Fittings = PLAIN) -> int:
    """Serve until SIGTERM, or until the supervisor or the engine is dead; returns the exit status."""
    async with running_worker(settings, fittings) as worker:
        config = uvicorn.Config(
            worker.app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=max(1, int(settings.grace_seconds)),
        )
        server = Server(config)
        told = _stop_when_told(server, worker, life)
        watching = asyncio.create_task(_stop_with_engine(server, worker))
        log.info("worker ready")
        await server.serve(sockets=[listener])
        watching.cancel()
    log.info("worker stopped")
    return 0 if told.is_set() else EX_SOFTWARE


async def _stop_with_engine(server: Server, worker: Worker) -> None:
    """End a worker that can no longer predict: the supervisor starts a better one."""
    await worker.engine_ended()
    worker.admission.close()
    server.should_exit = True


def _stop_when_told(server: Server, worker: Worker, life: int) -> asyncio.Event:
    loop, told = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        told.set()
        worker.admission.close()
        server.should_exit = True

    def supervisor_died() -> None:
        loop.remove_reader(life)
        log.warning("the supervisor is gone")
        stop()

    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_reader(life, supervisor_died)
    return told


def main(fittings: Fittings = PLAIN) -> int:
    """Run the worker; returns its exit status."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    try:
        settings = configuration.load()
        logs.configure(settings.log_level, settings.log_format)
        with asyncio.Runner(loop_factory=uvicorn.Config("", log_config=None).get_loop_factory()) as runner:
            return runner.run(serve(settings, listener, int(sys.argv[2]), fittings))
    except SettingsError as error:
        log.critical("wrong settings", extra={"reason": str(error)})
        return EX_CONFIG


if __name__ == "__main__":
    sys.exit(main())
