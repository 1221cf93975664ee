"""Metrics of sequences: accuracy of labels and tags, and mean absolute error of numbers.

Text has a line for each sequence: its label, or its tags or numbers with spaces between them, a TAB, and the text.
Numbers are in CSV, as for `predict`, with the columns of the targets beside the features: `label`, or the names of the
numbers; `target.NAME` where a feature has that name. A column `series` says which rows are one sequence, else all are.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from service.domain.errors import InvalidRequest
from service.domain.operations import ForecastCheck, Predict, SeriesInput, Target, TextInput
from service.nets.config.task_outputs import TaskOutputs
from service.tasks.base import AnyTask
from service.tasks.numbers import round_digits
from service.tooling.offline_runner import LocatedOperation, run_all
from service.tooling.predict.series_file import Table, read_table
from service.tooling.verify.text_quality import Line, read_lines

LABELLED = "text in UTF-8, a label, a TAB and a text a line"
TAGGED = "text in UTF-8, the tags of its words, a TAB and a text a line"
MEASURED = "text in UTF-8, the numbers that turned out, a TAB and a text a line"
LABEL, SERIES = "label", "series"


class Accuracy:
    """Fraction of the labels that are the most probable ones."""

    name: ClassVar[str] = "accuracy"
    signature = None

    def __init__(self, operations: Sequence[LocatedOperation]) -> None:
        self._operations = operations

    def compute(self, task: AnyTask) -> float:
        """Return the accuracy, from 0 to 1."""
        observed: list[Any] = [outcome.output["observed"] for outcome in run_all(task, self._operations)]
        targets: int = sum(one["targets"] for one in observed)
        correct: int = sum(one["correct"] for one in observed)
        return correct / targets


class AbsoluteErrors:
    """Mean absolute error over all names, in the units of the data; missing values are left out."""

    name: ClassVar[str] = "mean_absolute_error"
    signature = None

    def __init__(self, operations: Sequence[LocatedOperation]) -> None:
        self._operations = operations

    def compute(self, task: AnyTask) -> float:
        """Return the mean absolute error. Raises InvalidRequest if no target is known."""
        checks = [outcome.observation for outcome in run_all(task, self._operations)]
        known = [check for check in checks if isinstance(check, ForecastCheck)]
        count = sum(check.values for check in known)
        if not count:
            place = self._operations[0].place
            raise InvalidRequest(f"{place}: found no number to compare with from here on, expected one at least")
        return round_digits(sum(check.absolute_error for check in known) / count)


def measure_sequences(data: Path, config: TaskOutputs, features: Sequence[str]) -> Accuracy | AbsoluteErrors:
    """Return the metric of a task on a file of texts, or of rows of these features.

    Raises InvalidRequest naming file and line.
    """
    if not config.output_size:
        raise InvalidRequest(f"{data} is given: expected none, since nothing can be compared with an embedding")
    operations = [*(_of_rows(data, config, features) if features else _of_texts(data, config))]
    return AbsoluteErrors(operations) if config.names else Accuracy(operations)


def _of_texts(data: Path, config: TaskOutputs) -> Iterator[LocatedOperation]:
    several = config.readout == "each" or config.multi_label
    expected = MEASURED if config.names else TAGGED if several else LABELLED
    for line in read_lines(data, expected):
        first, tab, text = line.text.partition("\t")
        if not tab or not first.strip() or not text.strip():
            raise InvalidRequest(f"{line.place}: found {line.text[:30]!r}, expected {expected}")
        target: Target = first
        if config.names:
            target = _numbers(line, first.split(), config)
        elif several:
            target = tuple(first.split())
        yield LocatedOperation(line.place, Predict(TextInput(text=text, target=target)))


def _numbers(line: Line, cells: Sequence[str], config: TaskOutputs) -> Target:
    """Return the numbers of a text, a row of one for each name. Raises InvalidRequest."""
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        raise InvalidRequest(f"{line.place}: found {' '.join(cells)[:30]!r}, expected {MEASURED}") from None
    width = len(config.names)
    rows = tuple(tuple(numbers[begin : begin + width]) for begin in range(0, len(numbers), width))
    return rows if config.readout == "each" else tuple(numbers)


def _of_rows(data: Path, config: TaskOutputs, features: Sequence[str]) -> Iterator[LocatedOperation]:
    targets = [f"target.{name}" if name in features else name for name in config.names or [LABEL]]
    numbers, texts = ([*features, *targets], []) if config.names else ([*features], targets)
    table = read_table(data, numbers, texts=texts, optional=[SERIES])
    rows = range(len(table.rows))
    for _, members in groupby(rows, key=lambda row: table.texts[row][-1]):
        yield _of_series(data, config, len(features), table, [*members])


def _of_series(data: Path, config: TaskOutputs, width: int, table: Table, rows: Sequence[int]) -> LocatedOperation:
    """Return the prediction of a series, compared with the targets of each of its rows or of the last one."""
    values = tuple(table.rows[row][:width] for row in rows)
    wanted = rows if config.readout == "each" else rows[-1:]
    found: list[Any] = [table.rows[row][width:] if config.names else table.texts[row][0] for row in wanted]
    target: Target = tuple(found) if config.readout == "each" else found[0]
    if config.multi_label and isinstance(target, str):
        target = tuple(target.split())
    return LocatedOperation(f"{data}, line {table.lines[rows[0]]}", Predict(SeriesInput(values, target=target)))
