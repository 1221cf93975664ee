"""The command that serves."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from service import settings as configuration
from service.bootstrap.api_keys import check_keys
from service.cli.options import Models, OnDevice
from service.cli.output import fail
from service.domain.errors import SettingsError
from service.process.supervisor import Supervisor
from service.telemetry import logs

log = logging.getLogger(__name__)


def serve(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes on the port.")] = None,
    models: Models = None,
    state_dir: Annotated[Path | None, typer.Option(help="Where the private store keeps its data.")] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Arithmetic: float32, bfloat16 or int8; also MODEL=DTYPE, several by commas.")
    ] = None,
    device: OnDevice = None,
    deterministic: Annotated[
        bool | None, typer.Option("--deterministic", help="The same answer to the last bit at any load, more slowly.")
    ] = None,
) -> None:
    """Serve the models; settings that are not given come from the environment (see README)."""
    try:
        settings = configuration.load(
            host=host,
            port=port,
            workers=workers,
            models=models,
            state_dir=state_dir,
            dtype=dtype,
            device=device,
            deterministic=deterministic,
        )
        logs.configure(settings.log_level, settings.log_format)
        check_keys(settings)  # here, before any process is started: a worker would be started again
        for name in configuration.unknown_variables():
            log.warning("unknown setting", extra={"variable": name})
        status = Supervisor(settings).run()
    except SettingsError as error:
        fail(error, 78)
    raise typer.Exit(status)
