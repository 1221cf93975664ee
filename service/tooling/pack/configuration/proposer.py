"""The configuration that `pack` writes: read from a file, or proposed by `inspect` with the answers of the user."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from service.domain.errors import ModelFolderError
from service.domain.files import read_file
from service.nets.config.loader import MAX_CONFIG_BYTES, read_json
from service.tasks.architecture_spec import AnyArchitecture
from service.tooling.formats.network import SavedNetwork
from service.tooling.inspect.inventory import Proposal
from service.tooling.inspect.questions.question import Choice, Question, word_of
from service.tooling.inspect.report import inspect_network
from service.tooling.pack.configuration.settings import renumber, with_settings


@dataclass(frozen=True, slots=True)
class Answers:
    """How the questions of a proposal are answered: by settings, all plainly, names as proposed, or by asking."""

    settings: Mapping[str, object] = field(default_factory=dict)
    plain: bool = False
    names_as_proposed: bool = False
    ask: Callable[[Question], object] | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """Fields of a config.json, and the names that are proposed for the tensors.

    `settings` are those that led to it, and `questions` those that nobody has answered yet.
    """

    fields: dict[str, Any]
    names: dict[str, str]
    settings: Mapping[str, object]
    questions: tuple[Question, ...] = ()
    pack_options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposer:
    """Proposals for the network `saved`, which was read from the file at `source`."""

    source: Path
    saved: SavedNetwork
    architectures: Sequence[AnyArchitecture]

    def propose(self, settings: Mapping[str, object]) -> tuple[str, Proposal | None]:
        """Return a description of the network and the proposal for it, with what `settings` say of task and inputs."""
        task, one_hot = stated_task(settings, self.architectures), settings.get("one_hot") in {True, "true"}
        report = inspect_network(self.source, self.saved, self.architectures, task, one_hot=one_hot)
        return report.looks_like, report.proposal

    def configure(self, settings: Mapping[str, object]) -> Configuration:
        """Return the proposed configuration with `settings`. Raises ModelFolderError if nothing is proposed."""
        looks_like, proposal = self.propose(settings)
        if proposal is None:
            raise ModelFolderError(f"{self.source}: found {looks_like}; expected a config.json beside the checkpoint")
        proposal = _with_named_targets(proposal, settings.get("features"))
        asked = proposal.asked(settings)
        fields = with_settings(proposal.config, changes_of(asked, settings), str(self.source))
        names = renumber(proposal.names, proposal.config, fields)
        open_ones = tuple(question for question in asked if not question.is_stated(settings))
        return Configuration(fields, names, settings, open_ones, proposal.pack_options)

    def read(self, config: Path, settings: Mapping[str, object]) -> Configuration:
        """Return the configuration of a file, with `settings`. Raises ModelFolderError."""
        fields = with_settings(read_fields(config), settings, str(config))
        _, proposal = self.propose(fields)
        known = proposal is not None and proposal.config["architecture"] == fields.get("architecture")
        names = renumber(proposal.names, proposal.config, fields) if proposal is not None and known else {}
        return Configuration(fields, names, settings)

    def answer(self, answers: Answers) -> Configuration:
        """Return the configuration with the answers; its questions are those that are left open.

        Raises ModelFolderError.
        """
        found = self.configure(answers.settings)
        while answers.ask is not None and found.questions:
            question = found.questions[0]
            found = self.configure({**found.settings, question.field: answers.ask(question)})
        if answers.plain:
            return replace(found, questions=tuple(asked for asked in found.questions if not asked.has_plain))
        if answers.names_as_proposed:
            return replace(found, questions=tuple(asked for asked in found.questions if asked.kind != "names"))
        return found


def stated_task(fields: Mapping[str, object], architectures: Sequence[AnyArchitecture]) -> str | None:
    """Return the task that is stated, None if there is none or no architecture has it."""
    task = fields.get("task")
    return task if isinstance(task, str) and any(task in spec.tasks for spec in architectures) else None


def changes_of(asked: Sequence[Question], settings: Mapping[str, object]) -> dict[str, object]:
    """Return the settings as values of config.json, without those that are in the proposal already."""
    changes = dict(settings)
    for question in asked:
        if question.field in changes:
            choice = question.choice_of(changes[question.field])
            changes[question.field] = choice.value
            if choice == question.plain:
                del changes[question.field]
    return changes


def read_fields(path: Path) -> dict[str, Any]:
    """Return the fields of a config.json. Raises ModelFolderError."""
    return read_json(read_file(path, MAX_CONFIG_BYTES, "a config.json"), str(path))


def _with_named_targets(proposal: Proposal, features: object) -> Proposal:
    """Return the proposal with the stated names of features in the proposed targets, which are some of them."""
    proposed, targets = proposal.config.get("features"), proposal.config.get("target")
    if not isinstance(features, list) or not proposed or not targets or len(features) != len(proposed):
        return proposal
    named = [features[proposed.index(name)] for name in targets]
    questions = tuple(
        replace(question, choices=(Choice(word_of(named), named),)) if question.field == "target" else question
        for question in proposal.questions
    )
    return replace(proposal, config={**proposal.config, "target": named}, questions=questions)
