"""Answers to the questions about an ONNX graph: stated by the user, shown by golden vectors, or refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any

from service.domain.errors import DiffersFromGolden, ModelFolderError
from service.model_folder.safetensors_io import open_tensor_file
from service.nets.onnx_graph.graph_config import row_of
from service.tooling.inspect.graph_report import GraphReport
from service.tooling.inspect.questions.question import Question, flags_of, word_of
from service.tooling.pack.companion_files import CompanionFiles
from service.tooling.pack.configuration.proposer import Answers, changes_of
from service.tooling.pack.configuration.refusal import unanswered
from service.tooling.pack.configuration.settings import with_settings

MAX_TRIALS = 64
WHAT = "a graph, which does not say how its timesteps follow each other"
Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class GraphCandidate:
    """Fields of a config.json of a graph, and the words of what golden vectors have to show of it."""

    fields: dict[str, Any]
    shown: Mapping[str, str]


def find_candidates(
    report: GraphReport, answers: Answers, companions: CompanionFiles, command: Sequence[str]
) -> list[GraphCandidate]:
    """Return the configurations that golden vectors choose from, the plainest first; without any it is one.

    `command` begins the command line that the message of a refusal shows. Raises ModelFolderError.
    """
    shapes = {} if companions.golden is None else _shapes(companions.golden)
    settings = {**_told_overlaps(report, answers.settings, shapes), **answers.settings}
    if answers.plain:
        return [_configure(report, settings, {})]
    steps = _timesteps(report, shapes)
    while asked := [question for question in _open_questions(report, settings) if not _is_shown(question, steps)]:
        if answers.ask is None:
            words = [*command, *companions.options(), *flags_of(answers.settings)]
            values = _missing_values(report, settings)
            raise unanswered(report.path, asked, words, what=WHAT, values=values)
        settings[asked[0].field] = answers.ask(asked[0])
    return [_configure(report, settings, chosen) for chosen in _combinations(_open_questions(report, settings))]


def explain(errors: Sequence[ModelFolderError], candidates: Sequence[GraphCandidate]) -> ModelFolderError:
    """Return the error that no candidate gives the values of golden vectors, that of the closest one."""
    differing = [error for error in errors if isinstance(error, DiffersFromGolden)]
    error = min(differing, key=lambda error: error.ratio) if differing else errors[0]
    shown = candidates[errors.index(error)].shown
    if not shown:
        return error
    tried = f"; {len(errors)} answers were tried, and other ones can be stated (--set FIELD=VALUE)"
    return ModelFolderError(f"{error}, with {_render(shown)}{tried}")


def render_shown(candidate: GraphCandidate) -> tuple[str, ...]:
    """Return a note on what golden vectors show of the candidate that computes their values."""
    return (f"the golden vectors prove {_render(candidate.shown)}",) if candidate.shown else ()


def _configure(report: GraphReport, settings: Mapping[str, object], chosen: Mapping[str, object]) -> GraphCandidate:
    """Return the proposed configuration with settings and these answers. Raises ModelFolderError."""
    settings = {**settings, **chosen}
    proposal = report.propose(settings)
    changes = changes_of(proposal.questions, settings)
    if "inputs" not in settings:
        changes = {**_shortened(proposal.config["inputs"], changes), **changes}
    fields = with_settings(proposal.config, changes, str(report.path))
    return GraphCandidate(fields, {field: word_of(value) for field, value in chosen.items()})


def _shortened(inputs: Sequence[Mapping[str, Any]], changes: Mapping[str, object]) -> dict[str, object]:
    """Return the shapes of inputs without their overlaps, since the graph's own are with them."""
    shapes: dict[str, object] = {}
    for index, entry in enumerate(inputs):
        overlap, shape = changes.get(f"inputs.{index}.overlap"), entry["shape"]
        if isinstance(overlap, int) and shape and isinstance(shape[-1], int) and 0 < overlap < shape[-1]:
            shapes[f"inputs.{index}.shape"] = [*shape[:-1], shape[-1] - overlap]
    return shapes


def _open_questions(report: GraphReport, settings: Mapping[str, object]) -> list[Question]:
    """Return the questions that settings do not answer, nor features that are as many as a row has numbers."""
    proposal, features = report.propose(settings), settings.get("features")
    whole = {
        f"inputs.{index}.overlap"
        for index, entry in enumerate(proposal.config["inputs"])
        if isinstance(features, list) and entry["shape"][-1:] == [len(features)]
    }
    return [asked for asked in proposal.questions if not asked.is_stated(settings) and asked.field not in whole]


def _missing_values(report: GraphReport, settings: Mapping[str, object]) -> list[str]:
    """Return the constants that have no value yet."""
    return [field for field in report.guessed if field not in settings and "constants" not in settings]


def _shapes(golden: Path) -> Shapes:
    with open_tensor_file(golden) as file:
        return {name: entry.shape for name, entry in file.header.entries.items()}


def _told_overlaps(report: GraphReport, settings: Mapping[str, object], shapes: Shapes) -> dict[str, object]:
    """Return the overlaps that follow from inputs of golden vectors, which are shorter than the graph's."""
    asked = {question.field for question in report.proposal.questions}
    told: dict[str, object] = {}
    for index, entry in enumerate(report.config["inputs"]):
        field, own, given = f"inputs.{index}.overlap", entry["shape"][-1:], shapes.get(f"inputs.{entry['name']}")
        stated = "inputs" in settings or f"inputs.{index}.shape" in settings
        if field in asked and not stated and given and isinstance(own[0], int) and given[-1] <= own[0]:
            told[field] = own[0] - given[-1]
    return told


def _timesteps(report: GraphReport, shapes: Shapes) -> int:
    """Return the length of the longest sequence of golden vectors, 0 without any."""
    rows = {f"inputs.{entry['name']}": len(row_of(tuple(entry["shape"]))) for entry in report.config["inputs"]}
    rows |= {"inputs.ids": 0, "inputs.values": 1}
    lengths = [shape[-1 - rows[name]] for name, shape in shapes.items() if len(shape) > rows.get(name, len(shape))]
    return max(lengths, default=0)


def _is_shown(question: Question, steps: int) -> bool:
    """Return whether golden vectors of so many timesteps answer a question: what follows a timestep needs two."""
    return steps >= (1 if question.field.endswith(".initial") else 2)


def _combinations(questions: Sequence[Question]) -> list[dict[str, object]]:
    """Return the answers to try, the plainest first: those with the fewest choices that are not the plain ones."""
    choices = [[choice.value for choice in question.choices] for question in questions]
    drawn = [*islice(product(*choices), MAX_TRIALS)]
    drawn.sort(key=lambda values: sum(value != own[0] for value, own in zip(values, choices, strict=True)))
    return [dict(zip([question.field for question in questions], values, strict=True)) for values in drawn]


def _render(words: Mapping[str, str]) -> str:
    return ", ".join(f"{field}={word}" for field, word in words.items())
