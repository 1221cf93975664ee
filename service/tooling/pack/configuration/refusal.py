"""The message that a network cannot be packed before its user says what the weights do not tell."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from service.domain.errors import ModelFolderError
from service.tooling.inspect.questions.message import ask_for
from service.tooling.pack.configuration.proposer import Configuration


def unanswered(source: Path, found: Configuration, command: Sequence[str]) -> ModelFolderError:
    """Return the error that questions are open; `command` has the words of the command line so far."""
    stated = [word for question in found.questions for word in question.flag()]
    proved = not any(question.kind in {"network", "forward"} for question in found.questions)
    vectors = "" if proved else " Vectors that your own code computed (--golden FILE) prove the forward pass instead."
    expected = "expected each of these to be stated, since a wrong one serves wrong numbers"
    lines = [
        f"{source}: found weights that fit more than one network; {expected}:",
        *(f"  {line}" for line in ask_for(found.questions)),
        f"The first choice of each is the plain one, and --plain takes all of them.{vectors} With the plain choices:",
        f"  {shlex.join([*command, *stated])}",
    ]
    return ModelFolderError("\n".join(lines))
