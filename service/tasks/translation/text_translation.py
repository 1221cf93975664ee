"""A text's translation: its sentences searched one by one, a few at a time, and put together again."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from service.domain.operations import Json, Outcome
from service.tasks.numbers import round_digits
from service.tasks.translation.beam_search import BeamSearch, Hypothesis
from service.tasks.translation.operations import Placed, Read, TranslationOperation
from service.tasks.translation.requests import TranslateOptions
from service.tasks.translation.subwords import SubwordCodec, TokenConstraints

#: Decoder rows that one operation may occupy, so that a long text does not slow the others.
ROWS = 16


@dataclass(frozen=True, slots=True)
class Sentence:
    """A source sentence with its end mark, how its tokens read, the most target tokens, and what stands behind it."""

    ids: tuple[int, ...]
    tokens: list[str]
    limit: int
    separator: str


class TextTranslation(TranslationOperation):
    """Translates the sentences of a text.

    Alternatives differ in one sentence or several: they are ranked by the sum of their sentences' scores,
    those that the limit cut off last.
    """

    def __init__(
        self,
        sentences: list[Sentence],
        target: SubwordCodec,
        marks: TokenConstraints,
        options: TranslateOptions,
    ) -> None:
        super().__init__(None)
        self._sentences = sentences
        self._target = target
        self._marks = marks
        self._options = options
        self._beams: list[BeamSearch] = []
        self._at_once = max(1, ROWS // options.beam_size)
        self._ask()

    def _ask(self) -> None:
        """Ask for the next sentences, as far as there is room."""
        begun, room = len(self._beams), self._at_once - len(self.searches)
        self.sources = [sentence.ids for sentence in self._sentences[begun : begun + room]]

    def _proceed(self) -> None:
        self._ask()
        self.finished = not self.sources and not self.searches

    def _on_read(self, read: list[Read]) -> None:
        for one in read:
            limit, size = self._sentences[len(self._beams)].limit, self._options.beam_size
            marks, wants = self._marks, self._options.attention
            begin = marks.begin
            beam = BeamSearch(marks, one.state, begin, opening=marks.first, size=size, limit=limit, weights=wants)
            self._beams.append(beam)
            self.searches.append(Placed(beam, one.memory))

    def outcome(self, state: bytes) -> Outcome:
        ranked = [self._distinct(beam.results()) for beam in self._beams]
        translations: list[Json] = [self._shown(chosen) for chosen in _combined(ranked, 1 + self._options.alternatives)]
        read = sum(len(sentence.ids) for sentence in self._sentences)
        generated = sum(len(hypotheses[0].pieces) for hypotheses in ranked)
        return Outcome({"translations": translations}, state, timesteps=read + generated, generated=generated)

    def _distinct(self, hypotheses: list[Hypothesis]) -> list[Hypothesis]:
        """Keep the best of those that read the same."""
        found: dict[str, Hypothesis] = {}
        for one in hypotheses:
            found.setdefault(self._target.text(one.pieces), one)
        return list(found.values())

    def _shown(self, chosen: Sequence[Hypothesis]) -> dict[str, Json]:
        parts = [
            f"{self._target.text(one.pieces)}{sentence.separator}"
            for one, sentence in zip(chosen, self._sentences, strict=True)
        ]
        count = sum(len(one.pieces) for one in chosen)
        shown: dict[str, Json] = {
            "text": "".join(parts),
            "score": round_digits(sum(one.total for one in chosen) / max(1, count)),
            "tokens": [self._target.token(piece) for one in chosen for piece in one.pieces],
            "source_tokens": [token for sentence in self._sentences for token in sentence.tokens],
        }
        if self._options.attention:
            shown["attention"] = _attention(chosen)
        return shown


def _combined(ranked: list[list[Hypothesis]], count: int) -> list[tuple[Hypothesis, ...]]:
    """Return the `count` best choices of one hypothesis per sentence: few that were cut off, a high sum of scores."""
    best: list[tuple[Hypothesis, ...]] = [()]
    for hypotheses in ranked:
        longer = [(*chosen, one) for chosen in best for one in hypotheses]
        best = sorted(longer, key=_merit, reverse=True)[:count]
    return best


def _merit(chosen: Sequence[Hypothesis]) -> tuple[int, float]:
    return sum(one.ended for one in chosen), sum(one.score for one in chosen)


def _attention(chosen: Sequence[Hypothesis]) -> Json:
    """Return target by source over the whole text: a sentence attends to its own source only."""
    blocks = [torch.stack(one.weights) for one in chosen]
    return [[round_digits(weight) for weight in row] for row in _block_diagonal(blocks)]


def _block_diagonal(blocks: list[Tensor]) -> list[list[float]]:
    """Put (T, S) matrices on the diagonal of one, zeros elsewhere."""
    width, rows, start = sum(block.shape[1] for block in blocks), [], 0
    for block in blocks:
        behind = width - start - block.shape[1]
        rows += [[0.0] * start + row + [0.0] * behind for row in block.tolist()]
        start += block.shape[1]
    return rows
