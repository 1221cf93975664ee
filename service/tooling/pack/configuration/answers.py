"""Answers to the questions of a proposal: stated by the user, proven by golden vectors, or refused."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from service.domain.errors import ModelFolderError
from service.model_folder.golden.replay import FILE
from service.tooling.inspect.questions.question import flags_of
from service.tooling.pack.configuration.golden_search import GoldenSearch
from service.tooling.pack.configuration.golden_trial import GoldenTrials
from service.tooling.pack.configuration.proposer import Answers, Configuration, Proposer
from service.tooling.pack.configuration.refusal import unanswered
from service.tooling.pack.conversion import PackSource, convert


def find_configuration(
    source: PackSource, answers: Answers, target: Path, command: Sequence[str]
) -> tuple[Configuration, tuple[str, ...]]:
    """Return the configuration of a network, without open questions, and notes on what golden vectors prove.

    `command` begins the command line that the message of a refusal shows. Raises ModelFolderError.
    """
    proposer = source.proposer()
    notes: tuple[str, ...] = ()
    golden = source.companions.golden
    found = proposer.answer(answers if golden is None else replace(answers, ask=None))
    if found.questions and golden is not None:
        found, notes = _prove(source, proposer, found, golden, target)
    if found.questions and answers.ask is not None:
        told = {question.field: answers.ask(question) for question in found.questions}
        found = replace(proposer.configure({**found.settings, **told}), questions=())
    if found.questions:
        raise unanswered(source.path, found.questions, [*command, *_options(source, answers, found)])
    return found, notes


def _options(source: PackSource, answers: Answers, found: Configuration) -> list[str]:
    """Return the options that were given, and those for the files that the network needs."""
    files = source.companions.options()
    maps = [word for text in source.maps for word in ("--map", text)]
    needed = () if source.companions.reads_inputs else found.pack_options
    return [*files, *needed, *maps, *flags_of(answers.settings)]


def _prove(
    source: PackSource, proposer: Proposer, found: Configuration, golden: Path, target: Path
) -> tuple[Configuration, tuple[str, ...]]:
    """Return the configuration that golden vectors prove, and notes. Raises ModelFolderError."""
    if not any(question.kind == "network" for question in found.questions):
        convert(source, found, str(source.path), target)  # what is wrong whatever is answered, is told as it is
    with tempfile.TemporaryDirectory() as folder:
        try:
            search = GoldenSearch(proposer, GoldenTrials(source, target, Path(folder)), str(golden))
            return search.prove(found)
        except ModelFolderError as error:
            raise ModelFolderError(str(error).replace(f"{Path(folder) / FILE}", str(golden))) from error
        except OSError as error:
            raise ModelFolderError(f"{target}: cannot be packed: {error}") from error
