"""The commands for operators."""

from pathlib import Path
from typing import Annotated

import typer

from service import settings as configuration
from service.cli.options import AsJson, Models
from service.cli.output import fail, print_report
from service.domain.errors import SettingsError


def doctor(
    *,
    models: Models = None,
    state_dir: Annotated[Path | None, typer.Option(help="Where the private store keeps its data.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check a deployment: settings, machine, models, store, clock and ports. Exits with 1 if something is wrong."""
    from service.deployment.diagnosis import diagnose  # noqa: PLC0415 - torch takes a second to import

    try:
        settings = configuration.load(models=models, state_dir=state_dir)
    except SettingsError as error:
        fail(error, 78)
    diagnosis = print_report(lambda: diagnose(settings), as_json)
    raise typer.Exit(0 if diagnosis.healthy else 1)


def size(
    folder: Annotated[Path, typer.Argument(help="A model folder, MODELS/NAME/VERSION.")],
    *,
    sessions: Annotated[int, typer.Option(min=1, help="Live sessions at a time.")] = 100_000,
    steps_per_second: Annotated[float, typer.Option(min=0, help="Steps in a second, all clients together.")] = 1000,
    machine_memory: Annotated[float, typer.Option(min=0.1, help="Memory of a machine for the store, in GiB.")] = 64,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="How long steps are measured.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Measure a model on this machine, and tell how many workers and how large a store a deployment needs."""
    from service.deployment.capacity import GIB, plan  # noqa: PLC0415 - likewise
    from service.deployment.measurement import measure  # noqa: PLC0415 - likewise

    name = f"{folder.absolute().parent.name} {folder.name}"
    print_report(
        lambda: plan(name, measure(folder, seconds), sessions, steps_per_second, int(machine_memory * GIB)), as_json
    )
