"""What commands print: reports, errors in one line, progress."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol, TypeVar

import typer

from service.domain.errors import ModelFolderError, SettingsError, UnrollError


class Report(Protocol):
    """Result that a command prints."""

    def render(self) -> str: ...
    def to_dict(self) -> dict[str, Any]: ...


ReportT = TypeVar("ReportT", bound=Report)


def print_text(text: str, *, err: bool = False) -> None:
    """Print a text. File names and checkpoints can hold half characters, which no stream takes."""
    typer.echo(text.encode("utf-8", "backslashreplace").decode(), err=err)


def fail(error: Exception | str, status: int = 1) -> NoReturn:
    """Print the error and exit with `status`."""
    print_text(f"unroll: {error}", err=True)
    raise typer.Exit(status)


@contextmanager
def failing_with_one_line() -> Iterator[None]:
    """Exit with the message of any error of the block, without a traceback; Python's development mode shows it."""
    try:
        yield
    except (typer.Exit, typer.BadParameter):
        raise
    except (ModelFolderError, SettingsError, UnrollError, OSError) as error:
        fail(error)
    except MemoryError:
        fail("found more than the memory of this machine holds, expected less")
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        fail(f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:500]}")


def print_report(make_report: Callable[[], ReportT], as_json: bool) -> ReportT:
    """Print a report and return it, or fail with its error's message. A terminal shows the progress on long files."""
    from service.tooling.progress import shown  # noqa: PLC0415 - `serve` loads no offline tool

    with failing_with_one_line(), shown(_bar if sys.stderr.isatty() else None):
        report = make_report()
    print_text(json.dumps(report.to_dict(), ensure_ascii=False) if as_json else report.render())
    return report


@contextmanager
def _bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error."""
    with typer.progressbar(length=total, label=label, file=sys.stderr) as bar:
        yield bar.update
