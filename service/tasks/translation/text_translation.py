"""Translation of a text: a beam search for each sentence, a few at a time, and the joined results."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import attrgetter

import torch
from torch import Tensor

from service.domain.operations import GeneratedToken, Json, Outcome, align_tokens
from service.tasks.base import NUMBERS_PER_ROW
from service.tasks.numbers import round_digits
from service.tasks.translation.decoding.beam_search import BeamSearch, Hypothesis
from service.tasks.translation.operations import ActiveSearch, EncodedSource, TranslationOperation
from service.tasks.translation.requests import TranslateOptions
from service.tasks.translation.subwords import SubwordCodec, TokenConstraints

#: Decoder rows that one operation may occupy, so that a long text does not slow the others down.
MAX_ROWS = 16
#: Sentences of a long text that are encoded with each timestep.
SENTENCES_PER_TIMESTEP = 8


@dataclass(frozen=True, slots=True)
class Sentence:
    """A source sentence: its ids and tokens with the end of sequence, and the white space `separator` after it.

    `unknown` are its words outside the vocabulary. `limit` is the largest number of target tokens.
    """

    ids: tuple[int, ...]
    tokens: list[str]
    unknown: list[str]
    limit: int
    separator: str


@dataclass(frozen=True, slots=True)
class SentenceResult:
    """A hypothesis of a sentence with its text and its score."""

    text: str
    hypothesis: Hypothesis
    score: float


class TextTranslation(TranslationOperation):
    """Translates the sentences of a text. Of a long text, `more` yields those that are encoded between timesteps.

    Alternatives differ in one sentence or several. They are ranked by the sum of their sentences' scores, after those
    with fewer sentences that the limit cut off.
    """

    def __init__(
        self,
        sentences: list[Sentence],
        more: Iterator[Sentence],
        codec: SubwordCodec,
        constraints: TokenConstraints,
        options: TranslateOptions,
    ) -> None:
        super().__init__(None)
        self._sentences = sentences
        self._more = more
        self._complete = False
        self._codec = codec
        self._constraints = constraints
        self._options = options
        self._beams: list[BeamSearch] = []
        self._max_searches = max(1, MAX_ROWS // options.beam_size)
        self._request_sources()

    def _encode_more(self) -> None:
        """Encode the next sentences. Raises InputTooLong if the text turns out to be too long."""
        if not self._complete:
            count = len(self._sentences)
            self._sentences += islice(self._more, SENTENCES_PER_TIMESTEP)
            self._complete = len(self._sentences) - count < SENTENCES_PER_TIMESTEP

    def _request_sources(self) -> None:
        """Set the next sources to encode, as many as may be searched."""
        start = len(self._beams)
        end = start + self._max_searches - len(self.searches)
        self.sources = [sentence.ids for sentence in self._sentences[start:end]]

    def _continue(self) -> None:
        self._encode_more()
        self._request_sources()
        self.finished = self._complete and not self.sources and not self.searches

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

    @property
    def outcome_cost(self) -> int:
        """The cost of the outcome: it holds every sentence for each alternative, and ranks their combinations."""
        results, sentences = 1 + self._options.alternatives, len(self._sentences)
        cost = results * sentences * self._options.beam_size
        if self._options.attention:
            cost += results * sum(len(sentence.ids) * sentence.limit for sentence in self._sentences)
        return cost // NUMBERS_PER_ROW

    def outcome(self, state: bytes) -> Outcome:
        combinations = self._best(1 + self._options.alternatives)
        translations: list[Json] = [self._translation(combination) for combination in combinations]
        encoded = sum(len(sentence.ids) for sentence in self._sentences)
        generated = sum(len(beam.results()[0].pieces) for beam in self._beams)
        return Outcome({"translations": translations}, state, timesteps=encoded + generated, generated=generated)

    def _best(self, count: int) -> list[list[SentenceResult]]:
        """Return the best translations, up to `count`: a result for each sentence."""
        return _best_combinations([self._distinct(beam.results()) for beam in self._beams], count)

    def _distinct(self, hypotheses: list[Hypothesis]) -> list[SentenceResult]:
        """Return the hypotheses with different texts, of equal ones the best."""
        by_text: dict[str, SentenceResult] = {}
        for hypothesis in hypotheses:
            text = self._codec.decode(hypothesis.pieces)
            by_text.setdefault(text, SentenceResult(text, hypothesis, hypothesis.score))
        return list(by_text.values())

    def _translation(self, results: Sequence[SentenceResult]) -> dict[str, Json]:
        """Return the output for one result per sentence."""
        hypotheses = [result.hypothesis for result in results]
        pieces = [*chain.from_iterable(hypothesis.pieces for hypothesis in hypotheses)]
        logprob = sum(hypothesis.logprob for hypothesis in hypotheses)
        translation: dict[str, Json] = {
            "text": self._join(results),
            "score": round_digits(logprob / max(1, len(pieces))),
            "tokens": [self._codec.id_to_token(piece) for piece in pieces],
            "source_tokens": [*chain.from_iterable(sentence.tokens for sentence in self._sentences)],
            "finish_reason": "stop" if all(hypothesis.ended for hypothesis in hypotheses) else "length",
            "unknown": [*chain.from_iterable(sentence.unknown for sentence in self._sentences)],
        }
        if self._options.attention:
            translation["attention"] = _attention(hypotheses)
        return translation

    def _join(self, results: Sequence[SentenceResult]) -> str:
        """Return the texts of the sentences' results with the white space between the sentences."""
        return "".join(f"{result.text}{item.separator}" for result, item in zip(results, self._sentences, strict=True))


class TranslationGeneration(TextTranslation):
    """Translates a text; the output is that of a generation. The tokens are certain at the end, and streamed then."""

    def new_tokens(self) -> list[GeneratedToken]:
        """Return all tokens of a finished operation, none before."""
        return self._tokens() if self.finished else []

    def _tokens(self) -> list[GeneratedToken]:
        """Return the tokens of the best translation, without the ends of its sentences."""
        tokens: list[GeneratedToken] = []
        for result, sentence in zip(self._best(1)[0], self._sentences, strict=True):
            hypothesis = result.hypothesis
            count = len(hypothesis.pieces) - hypothesis.ended
            names = [self._codec.id_to_token(piece) for piece in hypothesis.pieces[:count]]
            logprobs = [round_digits(logprob) for logprob in hypothesis.logprobs[:count]]
            tokens += align_tokens(f"{result.text}{sentence.separator}", names, logprobs)
        return tokens

    def outcome(self, state: bytes) -> Outcome:
        tokens = self._tokens()
        hypotheses = [result.hypothesis for result in self._best(1)[0]]
        output: dict[str, Json] = {
            "text": "".join(token.text for token in tokens),
            "tokens": [token.token for token in tokens],
            "logprobs": [token.logprob for token in tokens],
            "finish_reason": "stop" if all(hypothesis.ended for hypothesis in hypotheses) else "length",
        }
        encoded = sum(len(sentence.ids) for sentence in self._sentences)
        timesteps = encoded + sum(len(hypothesis.pieces) for hypothesis in hypotheses)
        return Outcome(output, state, timesteps, generated=len(tokens))


@dataclass(frozen=True, slots=True)
class _Combination:
    """One result for each of the first sentences: how many ended, their scores, the last result and those before."""

    ended: int
    score: float
    last: SentenceResult | None = None
    before: "_Combination | None" = None

    def results(self) -> list[SentenceResult]:
        """Return the results in the order of the sentences."""
        results: list[SentenceResult] = []
        combination: _Combination | None = self
        while combination is not None and combination.last is not None:
            results.append(combination.last)
            combination = combination.before
        return results[::-1]


def _best_combinations(results: list[list[SentenceResult]], count: int) -> list[list[SentenceResult]]:
    """Return the `count` best combinations of one result per sentence, given those of each sentence."""
    best = [_Combination(0, 0.0)]
    for sentence_results in results:
        longer = [
            _Combination(before.ended + result.hypothesis.ended, before.score + result.score, result, before)
            for before in best
            for result in sentence_results
        ]
        best = sorted(longer, key=attrgetter("ended", "score"), reverse=True)[:count]
    return [combination.results() for combination in best]


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
