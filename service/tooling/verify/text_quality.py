"""Metrics of text models: perplexity of sentences, and BLEU of translated sentences."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from service.domain.errors import InvalidRequest, ModelFolderError
from service.domain.files import read_file
from service.domain.operations import Observation, Predict, Score, TextInput
from service.tasks.base import AnyTask
from service.tasks.numbers import perplexity, round_digits
from service.tooling.offline_runner import LocatedOperation, run_all

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

MAX_DATA_BYTES = 2**28
SENTENCES = "text in UTF-8, a sentence a line"
PAIRS = "text in UTF-8, a source sentence, a TAB and its translation a line"


class Perplexity:
    """Perplexity of sentences, each scored independently."""

    name: ClassVar[str] = "perplexity"
    signature = None

    def __init__(self, data: Path) -> None:
        self._operations = [
            LocatedOperation(line.place, Score(TextInput(text=line.text))) for line in read_lines(data, SENTENCES)
        ]

    def compute(self, task: AnyTask) -> float:
        """Return the exponential of the negative mean log-probability of a token."""
        observations = [outcome.observation for outcome in run_all(task, self._operations)]
        scores = [score for score in observations if isinstance(score, Observation)]
        return perplexity(sum(score.logprob for score in scores) / sum(score.tokens for score in scores))


class Bleu:
    """Corpus BLEU (K. Papineni et al., 2002) by sacrebleu, of translations with default options, one reference each."""

    name: ClassVar[str] = "bleu"

    def __init__(self, data: Path) -> None:
        self._metric = _metric()
        lines = read_lines(data, PAIRS)
        pairs = [_pair(line) for line in lines]
        self._operations = [
            LocatedOperation(line.place, Predict(TextInput(text=source)))
            for line, (source, _) in zip(lines, pairs, strict=True)
        ]
        self._references = [target for _, target in pairs]

    @property
    def signature(self) -> str:
        """The signature of sacrebleu, which is complete after the first score."""
        return str(self._metric.get_signature())

    def compute(self, task: AnyTask) -> float:
        """Return BLEU, from 0 to 100."""
        translations: list[Any] = [outcome.output["translations"] for outcome in run_all(task, self._operations)]
        texts = [best["text"] for best, *_ in translations]
        return round_digits(self._metric.corpus_score(texts, [self._references]).score)


def _metric() -> "BLEU":
    try:
        from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415 - serving needs no sacrebleu
    except ImportError as error:
        raise InvalidRequest(
            "--data of a translation model: found no library sacrebleu, expected it for BLEU: "
            "pip install 'unroll[train]'"
        ) from error
    return BLEU()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file, with its file and line number."""

    place: str
    text: str


def read_lines(data: Path, expected: str) -> list[Line]:
    """Return the lines that are not blank, at least one. Raises InvalidRequest naming file and line."""
    try:
        text = read_file(data, MAX_DATA_BYTES, expected).decode("utf-8-sig")
    except ModelFolderError as error:
        raise InvalidRequest(str(error)) from error
    except UnicodeDecodeError as error:
        number_of_line = error.object.count(b"\n", 0, error.start) + 1
        raise InvalidRequest(
            f"{data}, line {number_of_line}: found bytes that are no UTF-8, expected {expected}"
        ) from error
    lines = [
        Line(f"{data}, line {number}", line.removesuffix("\r"))
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]
    if not lines:
        raise InvalidRequest(f"{data}: found no words, expected {expected}")
    return lines


def _pair(line: Line) -> tuple[str, str]:
    """Split a line into source and target; text after a second TAB is ignored."""
    source, *others = line.text.split("\t")
    if not others:
        raise InvalidRequest(f"{line.place}: found no TAB in {line.text[:30]!r}, expected {PAIRS}")
    for side, text in (("source", source), ("translation", others[0])):
        if not text.strip():
            raise InvalidRequest(f"{line.place}: found an empty {side}, expected {PAIRS}")
    return source, others[0]
