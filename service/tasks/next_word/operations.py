"""Next-word operations in progress: the tokens to feed next, and the use of each forward pass's output.

At each timestep the task feeds the `next_ids` of all operations of a batch, and passes each its `TokenOutput`. For an
operation without next ids, the output is that of its state as it is.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from service.domain.operations import Base64, Json, Observation, Outcome
from service.tasks.base import inputs_per_timestep
from service.tasks.next_word.requests import NextWordOptions
from service.tasks.next_word.sampling import Logits, Sampler
from service.tasks.next_word.session_state import Row
from service.tasks.next_word.tensors import LOGITS, TOP_OUTPUTS
from service.tasks.numbers import perplexity, round_digits
from service.tasks.vocabulary import EncodedText, Vocabulary

#: The most tokens that one forward pass feeds to an operation, alone or in a batch. More of them make better use of the
#: output layer's weights, but operations in the same batch, and those that arrive meanwhile, wait longer.
CHUNK_ALONE = 16
CHUNK_SHARED = 4


@dataclass(frozen=True, slots=True)
class TokenOutput:
    """The output of a forward pass for one operation.

    `state` (total,) is the new state, `logits` (V,) are those of the next token, and `log_normaliser` is the log of the
    sum of their exponentials. `logprobs` are the log-probabilities of the tokens that were fed. `top_tokens` are the
    ids and logits of the most probable next tokens, and `chosen` is the token of the operation's sampler, if the
    operation requested any.
    """

    state: Row
    logits: Logits
    log_normaliser: float
    logprobs: list[float]
    top_tokens: tuple[list[int], list[float]] | None
    chosen: int | None


class ActiveOperation(Protocol):
    """The interface of an operation to the task and the engine. Without a state, it begins with the `vector`."""

    state: Row | None
    vector: Row | None
    finished: bool

    @property
    def next_cost(self) -> int:
        """The cost of the next timestep."""

    @property
    def outcome_cost(self) -> int:
        """The cost of the outcome."""

    def next_ids(self, limit: int) -> Sequence[int]:
        """Return the tokens to feed next, at most `limit`; none to use the state as it is."""

    def requested_top_k(self, fed: int) -> int:
        """Return how many of the most probable tokens the output should list after `fed` more tokens."""

    def requested_sampler(self, fed: int) -> Sampler | None:
        """Return the sampler that should choose the next token after `fed` more tokens, None to choose none."""

    def update(self, output: TokenOutput) -> None:
        """Apply the output of a forward pass to the operation."""

    def outcome(self, state: bytes) -> Outcome:
        """Return the outcome of a finished operation, with `state` as its encoded state."""


class FeedingOperation:
    """Feeds the encoded input and scores its tokens. The other operations derive from it.

    `rows_per_token` is the number of rows of the network that a token takes, those of a window. Without a state, the
    first timestep reads the `vector` alone.
    """

    rows_per_token = 1
    vector: Row | None = None

    def __init__(self, encoded: EncodedText, state: Row | None) -> None:
        self.state = state
        self.finished = False
        self._encoded = encoded
        #: The log-probabilities of the tokens that were fed.
        self._logprobs: list[float] = []

    @property
    def next_cost(self) -> int:
        """The number of rows that the next timestep feeds beside those of other operations."""
        chunk = inputs_per_timestep(CHUNK_SHARED, self.rows_per_token)
        return self.rows_per_token * min(max(1, len(self._encoded.ids) - len(self._logprobs)), chunk)

    @property
    def outcome_cost(self) -> int:
        """The cost of the outcome, which holds a few numbers per token."""
        return 0

    def next_ids(self, limit: int) -> Sequence[int]:
        if self.state is None:
            return ()
        fed, limit = len(self._logprobs), inputs_per_timestep(limit, self.rows_per_token)
        return self._encoded.ids[fed : fed + limit]

    def requested_top_k(self, fed: int) -> int:  # noqa: ARG002 - the protocol's argument
        return 0

    def requested_sampler(self, fed: int) -> Sampler | None:  # noqa: ARG002 - likewise
        return None

    def update(self, output: TokenOutput) -> None:
        self.state = output.state
        self._logprobs += output.logprobs
        if len(self._logprobs) >= len(self._encoded.ids):
            self._process_logits(output)

    def _process_logits(self, _: TokenOutput) -> None:
        """Process an output whose logits are those of the token after the input, or after a generated token."""
        self.finished = True

    def _observation(self) -> Observation | None:
        count = len(self._encoded.ids)
        return Observation(count, sum(self._logprobs[:count])) if self._logprobs else None

    def _observed(self) -> dict[str, Json] | None:
        """Return the output field `observed`, the statistics of the input."""
        if not self._encoded.ids:
            return None
        mean = sum(self._logprobs) / len(self._logprobs)
        return {
            "tokens": len(self._logprobs),
            "unknown": list(self._encoded.unknown),
            "mean_logprob": round_digits(mean),
            "perplexity": perplexity(mean),
        }


class OpenOperation(FeedingOperation):
    """Reads the vector that a session begins with; its state is state 0."""

    def outcome(self, state: bytes) -> Outcome:
        return Outcome({}, state, timesteps=0)


class PredictOperation(FeedingOperation):
    """Feeds the input, then lists the most probable next tokens; with a `prefix` only those that start with it.

    `outputs` are the names of the output tensors that are needed, None for a prediction without tensors.
    """

    def __init__(
        self,
        encoded: EncodedText,
        state: Row | None,
        vocabulary: Vocabulary,
        options: NextWordOptions,
        *,
        prefix: str | None = None,
        outputs: Collection[str] | None = None,
    ) -> None:
        super().__init__(encoded, state)
        self._wants_logits = outputs is not None and LOGITS in outputs
        self._wants_top = outputs is None or not TOP_OUTPUTS.isdisjoint(outputs)
        self._logits = b""
        self._vocabulary = vocabulary
        self._top_k = options.top_k
        self._candidates = None if prefix is None else vocabulary.completions(prefix)
        self._predictions: list[Json] = []

    def requested_top_k(self, fed: int) -> int:
        """Return `top_k` for the last token of an input without a prefix, otherwise 0."""
        last = len(self._logprobs) + fed >= len(self._encoded.ids)
        return self._top_k if last and self._candidates is None and self._wants_top else 0

    def _process_logits(self, output: TokenOutput) -> None:
        self.finished = True
        if self._wants_logits:
            self._logits = output.logits.astype("<f4").tobytes()
        if not self._wants_top:
            return
        ids, logits = output.top_tokens or self._top_candidates(output.logits)
        for index, logit in zip(ids, logits, strict=True):
            if index not in self._vocabulary.special_ids and len(self._predictions) < self._top_k:
                probability = round_digits(math.exp(logit - output.log_normaliser))
                token = self._vocabulary.id_to_token(index)
                self._predictions.append({"token": token, "id": index, "probability": probability})

    def _top_candidates(self, logits: Logits) -> tuple[list[int], list[float]]:
        candidates = np.array(self._candidates or [], dtype=np.int64)
        best = candidates[(-logits[candidates]).argsort(kind="stable")[: self._top_k]]
        return best.tolist(), logits[best].tolist()

    def outcome(self, state: bytes) -> Outcome:
        output: dict[str, Json] = {"predictions": self._predictions, "observed": self._observed()}
        if self._wants_logits:
            output["logits"] = Base64(self._logits)
        return Outcome(output, state, timesteps=len(self._logprobs), observation=self._observation())


class ScoreOperation(FeedingOperation):
    """Feeds the input and returns the log-probability of each of its tokens."""

    def outcome(self, state: bytes) -> Outcome:
        total = sum(self._logprobs)
        output: dict[str, Json] = {
            "tokens": list(self._encoded.tokens),
            "logprobs": [round_digits(logprob) for logprob in self._logprobs],
            "total_logprob": round_digits(total),
            "perplexity": perplexity(total / len(self._logprobs)),
            "unknown": list(self._encoded.unknown),
        }
        return Outcome(output, state, timesteps=len(self._logprobs), observation=self._observation())
