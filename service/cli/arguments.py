"""Arguments of `pack` and `import` as values, and the questions of `import`."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from service.cli.output import print_text

if TYPE_CHECKING:
    from service.tooling.inspect.questions.question import Question


def settings_of(arguments: Sequence[str] | None) -> dict[str, object]:
    """Return the settings that the options --set state."""
    return dict(map(_setting, arguments or []))


def golden_of(option: str | None) -> Path | Literal["auto"] | None:
    """Return the file of golden vectors that an option names, or `auto`."""
    return None if option is None else "auto" if option == "auto" else Path(option)


def preprocessor_of(argument: str | None) -> Path | Literal["identity"] | None:
    """Return the argument of --preprocessor. A file called `identity` can be given as ./identity."""
    if argument is None:
        return None
    return "identity" if argument == "identity" else Path(argument)


def is_terminal() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask(question: "Question") -> object:
    """Ask for a setting; the plain choice is the default, if there is one."""
    print_text(f"{question.reason} ({question.options()})")
    return _value(typer.prompt(question.field, default=question.plain.word if question.has_plain else None))


def _setting(argument: str) -> tuple[str, object]:
    """Parse FIELD=VALUE, where VALUE is JSON or text."""
    name, equals, value = argument.partition("=")
    if not equals:
        raise typer.BadParameter(f"--set {argument}: expected FIELD=VALUE")
    return name, _value(value)


def _value(text: str) -> object:
    """Parse JSON, or return the text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
