"""Quality of a model on given data in its own dtype and in another, and the interface of its metric."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from service.domain.operations import ComputeDtype
from service.tasks.base import AnyTask


@dataclass(frozen=True, slots=True)
class Quality:
    """Values of a metric in the model's own dtype and in another; `signature` is the exact variant of the metric."""

    name: str
    own: float
    other: float
    signature: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        fields: dict[str, Any] = {self.name: {"own": self.own, "dtype": self.other}}
        return fields if self.signature is None else {**fields, f"{self.name}_signature": self.signature}

    def render(self, dtype: ComputeDtype) -> str:
        """Return a line for people. BLEU is compared in points, as usual."""
        title, change = self.name.replace("_", " "), f"{self.other - self.own:+.4g}"
        if self.name == "bleu":
            title = "BLEU"
        elif self.own:
            change = f"{self.other / self.own - 1:+.3%}"
        return f"{title} {self.other:.6g} in {dtype}, {self.own:.6g} in its own arithmetic ({change})"


class Metric(Protocol):
    """A metric of a task on data that was read before."""

    name: ClassVar[str]

    @property
    def signature(self) -> str | None:
        """The exact variant of the metric, if there are several."""

    def compute(self, task: AnyTask) -> float:
        """Return the value of the metric. Raises InvalidRequest, naming file and line, for unsuitable data."""
