"""Translation of a text: a beam search for each sentence, a few at a time, and the joined results."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from service.domain.operations import Json, Outcome
from service.tasks.numbers import round_digits
from service.tasks.translation.beam_search import BeamSearch, Hypothesis
from service.tasks.translation.operations import ActiveSearch, EncodedSource, TranslationOperation
from service.tasks.translation.requests import TranslateOptions
from service.tasks.translation.subwords import SubwordCodec, TokenConstraints

#: Decoder rows that one operation may occupy, so that a long text does not slow the others down.
MAX_ROWS = 16


@dataclass(frozen=True, slots=True)
class Sentence:
    """A source sentence: its ids and tokens with the end of sequence, and the white space `separator` after it.

    `limit` is the largest number of target tokens.
    """

    ids: tuple[int, ...]
    tokens: list[str]
    limit: int
    separator: str


class TextTranslation(TranslationOperation):
    """Translates the sentences of a text.

    Alternatives differ in one sentence or several. They are ranked by the sum of their sentences' scores, after those
    with fewer sentences that the limit cut off.
    """

    def __init__(
        self,
        sentences: list[Sentence],
        codec: SubwordCodec,
        constraints: TokenConstraints,
        options: TranslateOptions,
    ) -> None:
        super().__init__(None)
        self._sentences = sentences
        self._codec = codec
        self._constraints = constraints
        self._options = options
        self._beams: list[BeamSearch] = []
        self._max_searches = max(1, MAX_ROWS // options.beam_size)
        self._request_sources()

    def _request_sources(self) -> None:
        """Set the next sources to encode, as many as may be searched."""
        start = len(self._beams)
        end = start + self._max_searches - len(self.searches)
        self.sources = [sentence.ids for sentence in self._sentences[start:end]]

    def _continue(self) -> None:
        self._request_sources()
        self.finished = not self.sources and not self.searches

    def _start_searches(self, sources: list[EncodedSource]) -> None:
        constraints, options = self._constraints, self._options
        for source in sources:
            beam = BeamSearch(
                constraints,
                source.state,
                constraints.begin,
                first_mask=constraints.first_mask,
                size=options.beam_size,
                limit=self._sentences[len(self._beams)].limit,
                keep_attention=options.attention,
            )
            self._beams.append(beam)
            self.searches.append(ActiveSearch(beam, source.memory))

    def outcome(self, state: bytes) -> Outcome:
        results = [self._distinct(beam.results()) for beam in self._beams]
        combinations = _best_combinations(results, 1 + self._options.alternatives)
        translations: list[Json] = [self._translation(hypotheses) for hypotheses in combinations]
        encoded = sum(len(sentence.ids) for sentence in self._sentences)
        generated = sum(len(hypotheses[0].pieces) for hypotheses in results)
        return Outcome({"translations": translations}, state, timesteps=encoded + generated, generated=generated)

    def _distinct(self, hypotheses: list[Hypothesis]) -> list[Hypothesis]:
        """Return the hypotheses with different texts, of equal ones the best."""
        by_text: dict[str, Hypothesis] = {}
        for hypothesis in hypotheses:
            by_text.setdefault(self._codec.decode(hypothesis.pieces), hypothesis)
        return list(by_text.values())

    def _translation(self, hypotheses: Sequence[Hypothesis]) -> dict[str, Json]:
        """Return the output for one hypothesis per sentence."""
        parts = [
            f"{self._codec.decode(hypothesis.pieces)}{sentence.separator}"
            for hypothesis, sentence in zip(hypotheses, self._sentences, strict=True)
        ]
        pieces = [piece for hypothesis in hypotheses for piece in hypothesis.pieces]
        logprob = sum(hypothesis.logprob for hypothesis in hypotheses)
        translation: dict[str, Json] = {
            "text": "".join(parts),
            "score": round_digits(logprob / max(1, len(pieces))),
            "tokens": [self._codec.id_to_token(piece) for piece in pieces],
            "source_tokens": [token for sentence in self._sentences for token in sentence.tokens],
        }
        if self._options.attention:
            translation["attention"] = _attention(hypotheses)
        return translation


def _best_combinations(results: list[list[Hypothesis]], count: int) -> list[tuple[Hypothesis, ...]]:
    """Return the `count` best combinations of one hypothesis per sentence, given those of each sentence."""
    best: list[tuple[Hypothesis, ...]] = [()]
    for hypotheses in results:
        longer = [(*combination, hypothesis) for combination in best for hypothesis in hypotheses]
        best = sorted(longer, key=_rank, reverse=True)[:count]
    return best


def _rank(combination: Sequence[Hypothesis]) -> tuple[int, float]:
    return sum(hypothesis.ended for hypothesis in combination), sum(hypothesis.score for hypothesis in combination)


def _attention(hypotheses: Sequence[Hypothesis]) -> Json:
    """Return target by source weights of the whole text, where each sentence attends to its own source only."""
    blocks = [torch.stack(hypothesis.attention) for hypothesis in hypotheses]
    return [[round_digits(weight) for weight in row] for row in _block_diagonal(blocks)]


def _block_diagonal(blocks: list[Tensor]) -> list[list[float]]:
    """Return the rows of a matrix with blocks (T, S) on its diagonal and zeros elsewhere."""
    width, rows, start = sum(block.shape[1] for block in blocks), [], 0
    for block in blocks:
        end = start + block.shape[1]
        rows += [[0.0] * start + row + [0.0] * (width - end) for row in block.tolist()]
        start = end
    return rows
