"""One text operation under way: which token to feed next, and what to do with each timestep's result.

The task asks every sequence of a batch for its `next_ids`, feeds them all, and hands each its `TokenOutput`. A sequence
without next ids looks at its state as it is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from service.domain.operations import GenerateOptions, Json, Observation, Outcome
from service.tasks.next_word.requests import NextWordOptions
from service.tasks.next_word.sampling import Logits, Sampler
from service.tasks.numbers import perplexity, round_digits
from service.tasks.vocabulary import EncodedText, Vocabulary


@dataclass(frozen=True, slots=True)
class TokenOutput:
    """One sequence's share of a forward pass: its state after it, flat, and what the network expects next.

    `logprobs` are those of the tokens fed, each under the state before it. `best` are the ids and logits of the most
    probable tokens, for a sequence that wants them.
    """

    state: Tensor
    logits: Logits
    log_normaliser: float
    logprobs: list[float]
    best: tuple[list[int], list[float]] | None


class ActiveOperation(Protocol):
    """What the engine sees of an operation."""

    state: Tensor
    finished: bool

    def next_ids(self, most: int) -> Sequence[int]:
        """The tokens to feed next, at most so many; none to look at the state without feeding."""

    def wants_best(self, fed: int) -> int:
        """How many of the most probable tokens the next row should carry, after so many more tokens."""

    def update(self, row: TokenOutput) -> None:
        """Take the result of a forward pass."""

    def outcome(self, state: bytes) -> Outcome:
        """The result of a finished sequence, with its state as bytes."""


class FeedingOperation:
    """Feeds the encoded input and scores it; the base of the three operations."""

    def __init__(self, encoded: EncodedText, state: Tensor) -> None:
        self.state = state
        self.finished = False
        self._encoded = encoded
        self._fed: list[float] = []

    def next_ids(self, most: int) -> Sequence[int]:
        return self._encoded.ids[len(self._fed) : len(self._fed) + most]

    def wants_best(self, fed: int) -> int:  # noqa: ARG002 - the protocol's argument
        return 0

    def update(self, row: TokenOutput) -> None:
        self.state = row.state
        self._fed += row.logprobs
        if len(self._fed) >= len(self._encoded.ids):
            self._arrive(row)

    def _arrive(self, _: TokenOutput) -> None:
        self.finished = True

    def _observation(self) -> Observation | None:
        return Observation(len(self._encoded.ids), sum(self._fed[: len(self._encoded.ids)])) if self._fed else None

    def _observed(self) -> dict[str, Json] | None:
        if not self._encoded.ids:
            return None
        mean = sum(self._fed) / len(self._fed)
        return {
            "tokens": len(self._fed),
            "unknown": list(self._encoded.unknown),
            "mean_logprob": round_digits(mean),
            "perplexity": perplexity(mean),
        }


class PredictOperation(FeedingOperation):
    """Feeds the input, then lists the most probable next tokens."""

    def __init__(
        self, encoded: EncodedText, state: Tensor, vocabulary: Vocabulary, options: NextWordOptions, prefix: str | None
    ) -> None:
        super().__init__(encoded, state)
        self._vocabulary = vocabulary
        self._top_k = options.top_k
        self._candidates = None if prefix is None else vocabulary.completions(prefix)
        self._predictions: list[Json] = []

    def wants_best(self, fed: int) -> int:
        """Nothing until the last token, and nothing from the whole vocabulary when a prefix narrows it."""
        last = len(self._fed) + fed >= len(self._encoded.ids)
        return self._top_k if last and self._candidates is None else 0

    def _arrive(self, row: TokenOutput) -> None:
        self.finished = True
        ids, logits = row.best or self._best_candidates(row.logits)
        for index, logit in zip(ids, logits, strict=True):
            if index not in self._vocabulary.special_ids and len(self._predictions) < self._top_k:
                probability = round_digits(math.exp(logit - row.log_normaliser))
                self._predictions.append(
                    {"token": self._vocabulary.id_to_token(index), "id": index, "probability": probability}
                )

    def _best_candidates(self, logits: Logits) -> tuple[list[int], list[float]]:
        candidates = np.array(self._candidates or [], dtype=np.int64)
        best = candidates[(-logits[candidates]).argsort(kind="stable")[: self._top_k]]
        return best.tolist(), logits[best].tolist()

    def outcome(self, state: bytes) -> Outcome:
        output: dict[str, Json] = {"predictions": self._predictions, "observed": self._observed()}
        return Outcome(output, state, timesteps=len(self._fed), observation=self._observation())


class ScoreOperation(FeedingOperation):
    """Feeds the input and reports the log-probability of each of its tokens."""

    def outcome(self, state: bytes) -> Outcome:
        total = sum(self._fed)
        output: dict[str, Json] = {
            "tokens": list(self._encoded.tokens),
            "logprobs": [round_digits(logprob) for logprob in self._fed],
            "total_logprob": round_digits(total),
            "perplexity": perplexity(total / len(self._fed)),
            "unknown": list(self._encoded.unknown),
        }
        return Outcome(output, state, timesteps=len(self._fed), observation=self._observation())


class GenerateOperation(FeedingOperation):
    """Feeds the input, then feeds token after token of its own choice.

    The state after it has seen every token returned, and neither the end of sequence nor anything of a stop text.
    """

    def __init__(
        self, encoded: EncodedText, state: Tensor, vocabulary: Vocabulary, options: GenerateOptions, end_id: int | None
    ) -> None:
        super().__init__(encoded, state)
        self._vocabulary = vocabulary
        self._options = options
        self._end_id = end_id
        self._forbidden = np.array(sorted(vocabulary.special_ids - {end_id}), dtype=np.int64)
        self._sampler = Sampler(options)
        self._chosen: list[int] = []
        self._logprobs: list[float] = []
        self._trail: list[Tensor] = []
        self._text: str | None = None
        self._reason = "length"

    def next_ids(self, most: int) -> Sequence[int]:
        own = len(self._fed) - len(self._encoded.ids)
        return super().next_ids(most) if own < 0 else self._chosen[own:]

    def _arrive(self, row: TokenOutput) -> None:
        if self._options.stop:
            # A copy: the row is a view that would keep the whole batch's states alive.
            self._trail.append(row.state.clone())
        if len(self._chosen) == self._options.max_tokens:
            self.finished = True
            return
        index = self._sampler.choose(row.logits, self._forbidden)
        if index == self._end_id:
            self.finished, self._reason = True, "stop"
            return
        self._chosen.append(index)
        self._logprobs.append(float(row.logits[index]) - row.log_normaliser)
        self._stop_at_text()

    def _stop_at_text(self) -> None:
        if not self._options.stop:
            return
        text = self._vocabulary.decode(self._chosen)
        found = [at for stop in self._options.stop if (at := text.find(stop)) >= 0]
        if not found:
            return
        self._text = text[: min(found)].rstrip() if self._vocabulary.word_level else text[: min(found)]
        while self._chosen and len(self._vocabulary.decode(self._chosen)) > min(found):
            self._chosen.pop()
        # Tokens before the stop text have all been fed: take back those that turned out to belong to it.
        self.state = self._trail[len(self._chosen)]
        self.finished, self._reason = True, "stop"

    def outcome(self, state: bytes) -> Outcome:
        count = len(self._chosen)
        output: dict[str, Json] = {
            "text": self._vocabulary.decode(self._chosen) if self._text is None else self._text,
            "tokens": [self._vocabulary.id_to_token(index) for index in self._chosen],
            "logprobs": [round_digits(logprob) for logprob in self._logprobs[:count]],
            "finish_reason": self._reason,
        }
        timesteps = len(self._encoded.ids) + count
        return Outcome(output, state, timesteps, generated=count, observation=self._observation())
