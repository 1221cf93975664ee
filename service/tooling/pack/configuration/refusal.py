"""The message that a network cannot be packed before its user says what the weights do not tell."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from service.domain.errors import ModelFolderError
from service.tooling.inspect.questions.message import ask_for
from service.tooling.inspect.questions.question import Question

WEIGHTS = "weights that fit more than one network"


def unanswered(
    source: Path,
    questions: Sequence[Question],
    command: Sequence[str],
    *,
    what: str = WEIGHTS,
    values: Sequence[str] = (),
) -> ModelFolderError:
    """Return the error that questions are open, about `what` was found.

    `command` has the words of the command line so far. `values` are fields that need a value and have no plain one.
    """
    stated = [word for question in questions for word in question.flag()]
    stated += [word for field in values for word in ("--set", f"{field}=VALUE")]
    needed = [line for field in values for line in (f"{field}, which has no plain value:", f"    --set {field}=VALUE")]
    expected = "expected each of these to be stated, since a wrong one serves wrong numbers"
    lines = [
        f"{source}: found {what}; {expected}:",
        *(f"  {line}" for line in (*ask_for(questions), *needed)),
        f"{_advice(questions)} With plain choices:",
        f"  {shlex.join([*command, *stated])}",
    ]
    return ModelFolderError("\n".join(lines))


def _advice(questions: Sequence[Question]) -> str:
    """Return what answers the questions beside statements."""
    without_plain = [question.field for question in questions if not question.has_plain]
    but = f" but {', '.join(without_plain)}" if without_plain else ""
    proved = not any(question.kind in {"network", "forward"} for question in questions)
    vectors = "" if proved else " Vectors that your own code computed (--golden FILE) prove the forward pass instead."
    return f"The first choice of each is the plain one, and --plain takes all of them{but}.{vectors}"
