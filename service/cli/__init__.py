"""The command `unroll`."""

from typing import Annotated

import typer

from service import __version__
from service.cli import keys
from service.cli.deployment import doctor, size
from service.cli.model_folders import import_, inspect, pack, verify
from service.cli.prediction import predict
from service.cli.serving import serve

__all__ = ["app", "main"]

app = typer.Typer(
    name="unroll", help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the release and exit.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


# In the order of the help.
app.command()(serve)
app.command()(predict)
app.command()(inspect)
app.command()(pack)
app.command("import")(import_)
app.command()(verify)
app.command()(doctor)
app.command()(size)
app.add_typer(keys.app)


def main() -> None:
    """Run the command line."""
    app()
