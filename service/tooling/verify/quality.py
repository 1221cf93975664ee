"""How well a model does on given data in another arithmetic: a figure for each task, of what a server would answer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from service.domain.operations import ComputeDtype
from service.tasks.base import AnyTask
from service.tasks.forecasting.task import ForecastingTask
from service.tasks.next_word.task import NextWordTask
from service.tasks.translation.task import TranslationTask
from service.tooling.verify.forecast_quality import ForecastErrors
from service.tooling.verify.text_quality import Bleu, Perplexity


@dataclass(frozen=True, slots=True)
class Quality:
    """A figure of given data, in the model's own arithmetic and in another; `signature` says how it was counted."""

    name: str
    own: float
    other: float
    signature: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        found: dict[str, Any] = {self.name: {"own": self.own, "dtype": self.other}}
        return found if self.signature is None else {**found, f"{self.name}_signature": self.signature}

    def render(self, dtype: ComputeDtype) -> str:
        """Return a line for people. BLEU is compared in points, as it is anywhere."""
        title, change = self.name.replace("_", " "), f"{self.other - self.own:+.4g}"
        if self.name == "bleu":
            title = "BLEU"
        elif self.own:
            change = f"{self.other / self.own - 1:+.3%}"
        return f"{title} {self.other:.6g} in {dtype}, {self.own:.6g} in its own arithmetic ({change})"


class Metric(Protocol):
    """Data that was read, and what it says of a task, whatever arithmetic that computes in."""

    name: ClassVar[str]

    @property
    def signature(self) -> str | None:
        """How exactly the figure was counted, where there are several ways."""

    def figure(self, task: AnyTask) -> float:
        """The figure. Raises InvalidRequest, naming file and line, for what the task does not take."""


def metric_of(task: NextWordTask | TranslationTask | ForecastingTask, data: Path) -> Metric:
    """Read the data that judges such a task. Raises InvalidRequest, naming file and line."""
    match task:
        case NextWordTask():
            return Perplexity(data)
        case TranslationTask():
            return Bleu(data)
        case ForecastingTask():
            return ForecastErrors(data, task)
