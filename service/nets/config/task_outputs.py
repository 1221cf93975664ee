"""Fields of config.json that say what the outputs of a network mean, for tasks whose outputs are labels or numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from service.nets.config.sections import Violation
from service.nets.config.strict_model import StrictModel

MAX_LABELS = 65_536
#: A transition for each pair of labels, which are all compared at every timestep.
MAX_CRF_LABELS = 512

Label = Annotated[str, Field(min_length=1, max_length=256)]
Labels = Annotated[list[Label], Field(max_length=MAX_LABELS)]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e100, le=1e100)]
Scale = Annotated[float, Field(allow_inf_nan=False, ge=1e-100, le=1e100)]
OutputActivation = Literal["none", "sigmoid", "softplus"]
Readout = Literal["each", "last", "last_output", "mean", "max", "attention"]

OF_SEQUENCE: tuple[Readout, ...] = ("last", "last_output", "mean", "max", "attention")
ALL_READOUTS: tuple[Readout, ...] = ("each", *OF_SEQUENCE)


@dataclass(frozen=True, slots=True)
class OutputRules:
    """The fields that describe the outputs of a task, and the readouts that its outputs can be computed from.

    `described_by` is the field with one entry for each output; None if the outputs are the readout itself.
    """

    task: str
    described_by: str | None
    fields: tuple[str, ...]
    readouts: tuple[Readout, ...]
    reason: str = ""


RULES = (
    OutputRules(
        "classification",
        "labels",
        ("labels", "multi_label"),
        OF_SEQUENCE,
        "the labels are those of a whole sequence; the task tagging has a label for each timestep",
    ),
    OutputRules(
        "tagging",
        "labels",
        ("labels", "crf"),
        ("each",),
        "each timestep has a label; the task classification has labels of a whole sequence",
    ),
    OutputRules("regression", "names", ("names", "target_mean", "target_scale", "activation"), ALL_READOUTS),
    OutputRules("embedding", None, (), ALL_READOUTS),
)


class TaskOutputs(StrictModel):
    """Labels or names of the outputs, and how numbers are read from them.

    Subclasses declare `task` as a literal of the tasks in RULES.
    """

    readout: Readout
    labels: Labels = Field(default=[])
    multi_label: bool = False
    crf: bool = False
    names: Labels = Field(default=[])
    #: Each a number for all names, or a list of one per name.
    target_mean: Number | list[Number] = 0.0
    target_scale: Scale | list[Scale] = 1.0
    activation: OutputActivation = "none"

    @property
    def output_size(self) -> int:
        """The number of outputs; 0 if the readout is the output."""
        return len(self.labels) or len(self.names)

    @property
    def outputs_size(self) -> int:
        """Width of an answer."""
        return self.output_size

    @property
    def answers_each(self) -> bool:
        """Whether every timestep can be answered on its own."""
        return True

    @property
    def means(self) -> list[float]:
        """The mean of each name."""
        return self._of_names(self.target_mean)

    @property
    def scales(self) -> list[float]:
        """The scale of each name."""
        return self._of_names(self.target_scale)

    def _of_names(self, value: float | list[float]) -> list[float]:
        return [*value] if isinstance(value, list) else [value] * len(self.names)

    def output_violations(self, task: str) -> Iterator[Violation]:
        """Yield the fields that contradict the task or each other."""
        rules = rules_of(task)
        for name, field in TaskOutputs.model_fields.items():
            value = getattr(self, name)
            if name not in (*rules.fields, "readout") and value != field.default:
                yield name, "true" if value is True else value, f"it to be left out: it is no field of the task {task}"
        if self.readout not in rules.readouts:
            yield "readout", self.readout, f"one of {', '.join(rules.readouts)}: {rules.reason}"
        if rules.described_by is not None:
            yield from self._entry_violations(rules.described_by)
        yield from self._scale_violations()
        if self.crf and len(self.labels) > MAX_CRF_LABELS:
            yield (
                "crf",
                "true",
                f"false: a CRF of {len(self.labels)} labels is too large, {MAX_CRF_LABELS} are possible",
            )

    def _entry_violations(self, field: str) -> Iterator[Violation]:
        entries: list[str] = getattr(self, field)
        least = 2 if field == "labels" and not self.multi_label else 1
        if len(entries) < least:
            yield field, entries or "nothing", f"at least {least}, one for each output in order"
        elif len(set(entries)) != len(entries):
            twice = next(entry for entry in entries if entries.count(entry) > 1)
            yield field, f"{twice!r} twice", "each once"

    def _scale_violations(self) -> Iterator[Violation]:
        for field in ("target_mean", "target_scale"):
            value = getattr(self, field)
            if isinstance(value, list) and len(value) != len(self.names):
                yield field, f"{len(value)} numbers", f"{len(self.names)}, one for each of names, or one number for all"


def rules_of(task: str) -> OutputRules:
    """Return the rules of a task."""
    return next(rules for rules in RULES if rules.task == task)
