"""Metric of a classifier of texts: the fraction of texts whose label is the most probable one."""

from pathlib import Path
from typing import Any, ClassVar

from service.domain.errors import InvalidRequest
from service.domain.operations import Predict, PredictOptions, TextInput
from service.tasks.base import AnyTask
from service.tooling.offline_runner import LocatedOperation, run_all
from service.tooling.verify.text_quality import Line, read_lines

LABELLED = "text in UTF-8, a label, a TAB and a text a line"


class LabelAccuracy:
    """Accuracy of the most probable label."""

    name: ClassVar[str] = "accuracy"
    signature = None

    def __init__(self, data: Path) -> None:
        lines = read_lines(data, LABELLED)
        pairs = [_pair(line) for line in lines]
        self._labels = [label for label, _ in pairs]
        self._operations = [
            LocatedOperation(line.place, Predict(TextInput(text=text), PredictOptions(top_k=1)))
            for line, (_, text) in zip(lines, pairs, strict=True)
        ]

    def compute(self, task: AnyTask) -> float:
        """Return the accuracy, from 0 to 1."""
        answers: list[Any] = [outcome.output["labels"] for outcome in run_all(task, self._operations)]
        hits: int = sum(best["label"] == label for (best, *_), label in zip(answers, self._labels, strict=True))
        return hits / len(answers)


def _pair(line: Line) -> tuple[str, str]:
    label, tab, text = line.text.partition("\t")
    if not tab or not label.strip() or not text.strip():
        raise InvalidRequest(f"{line.place}: found {line.text[:30]!r}, expected {LABELLED}")
    return label, text
