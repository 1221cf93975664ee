"""Next-word prediction, scoring and generation with a language model."""

from typing import Protocol

import torch
from torch import Tensor

from service.domain.errors import InputTooLong, InvalidRequest
from service.domain.operations import Generate, OpenSession, Operation, Predict, Score, TextInput
from service.tasks.inputs import require_text
from service.tasks.limits import TextLimits
from service.tasks.next_word.feeding import LanguageNetwork, feed
from service.tasks.next_word.operations import (
    ActiveOperation,
    GenerateOperation,
    PredictOperation,
    ScoreOperation,
    TokenOutput,
)
from service.tasks.next_word.requests import NextWordOptions
from service.tasks.options import convert_options
from service.tasks.state_layout import StateLayout
from service.tasks.vocabulary import EncodedText, Vocabulary

NO_INPUT = EncodedText([], [], [])
#: The most tokens that an operation is fed in one forward pass: more make better use of the output layer's weights, and
#: keep waiting who shares the pass, or comes while it runs.
CHUNK_ALONE = 16
CHUNK_SHARED = 4


def no_token(field: str) -> InvalidRequest:
    """Return the refusal of an input that holds nothing."""
    return InvalidRequest(f"input.{field} has no token: expected at least one word", param=f"input.{field}")


class Network(LanguageNetwork, Protocol):
    """What the task needs of a network beside."""

    def initial_recurrent_state(self, batch: int) -> dict[str, Tensor]: ...


class NextWordTask:
    """Turns operations into sequences and runs a timestep for many of them at once."""

    name = "next-word"

    def __init__(
        self,
        network: Network,
        vocabulary: Vocabulary,
        layout: StateLayout,
        special_tokens: dict[str, str],
        limits: TextLimits,
    ) -> None:
        self._network = network
        self._vocabulary = vocabulary
        self._layout = layout
        self.state_codec = layout
        self._limits = limits
        begin, end = special_tokens.get("begin"), special_tokens.get("end")
        self._end_id = None if end is None else vocabulary.token_to_id(end)
        self._initial = self._make_initial(None if begin is None else vocabulary.token_to_id(begin))

    @property
    def initial_state(self) -> Tensor:
        """State 0, (total,): zeros, with the begin symbol fed if there is one."""
        return self._initial

    def start(self, operation: Operation, state: Tensor) -> ActiveOperation:
        """Encode and check the operation's input. Raises InvalidRequest and its kinds; nothing has run by then."""
        if isinstance(operation, OpenSession):
            raise InvalidRequest(
                "input is given: expected none, since only a translation's session is created with one",
                param="input",
            )
        if isinstance(operation, Score):
            return ScoreOperation(self._encode(require_text(operation.input)), state)
        if not isinstance(operation, Predict | Generate):
            raise InvalidRequest(f"{type(operation).__name__} is not for a next-word model", param="model")
        if isinstance(operation, Generate):
            given = None if operation.input is None else require_text(operation.input)
            encoded = NO_INPUT if given is None else self._encode(given)
            self._check_count("options.max_tokens", operation.options.max_tokens, self._limits.generated_tokens)
            return GenerateOperation(encoded, state, self._vocabulary, operation.options, self._end_id)
        return self._start_predict(operation, state)

    def _start_predict(self, operation: Predict, state: Tensor) -> ActiveOperation:
        given = None if operation.input is None else require_text(operation.input)
        options = convert_options(operation.options, NextWordOptions, self.name)
        if given is None or not options.complete:
            encoded = NO_INPUT if given is None else self._encode(given)
            return PredictOperation(encoded, state, self._vocabulary, options, None)
        words, prefix = self._split_prefix(given)
        encoded = self._encode(TextInput(tokens=tuple(words))) if words else NO_INPUT
        return PredictOperation(encoded, state, self._vocabulary, options, prefix)

    def _split_prefix(self, given: TextInput) -> tuple[list[str], str | None]:
        """Return the whole words and the unfinished last one; None after white space, when there is none."""
        if given.ids is not None or not self._vocabulary.word_level:
            raise InvalidRequest(
                "options.complete is true: expected input.text or input.tokens of a word-level model, whose last word "
                "can be unfinished",
                param="options.complete",
            )
        if given.tokens is not None:
            return list(given.tokens[:-1]), given.tokens[-1]
        words = self._vocabulary.split_words(given.text or "")
        if not words:
            raise no_token("text")
        if given.text is not None and given.text[-1].isspace():
            return words, None
        return self._vocabulary.split_prefix(words, given.text or "")

    def _encode(self, given: TextInput) -> EncodedText:
        if given.target is not None:
            raise InvalidRequest("input.target is given: expected it of translation models only", param="input.target")
        encoded = self._vocabulary.encode(given)
        field = "text" if given.text is not None else "tokens" if given.tokens is not None else "ids"
        if not encoded.ids:
            raise no_token(field)
        self._check_count(f"input.{field}", len(encoded.ids), self._limits.input_tokens)
        return encoded

    def _check_count(self, field: str, count: int, limit: int) -> None:
        if count <= limit:
            return
        if field == "options.max_tokens":
            raise InvalidRequest(f"{field} is {count}: expected at most {limit}", param=field)
        raise InputTooLong(f"{field} has {count} tokens: expected at most {limit}", param=field)

    def _make_initial(self, begin_id: int | None) -> Tensor:
        with torch.inference_mode():
            state = self._network.initial_recurrent_state(1)
            features = torch.zeros_like(self._network.step(torch.tensor([begin_id or 0]), state)[0])
            if begin_id is not None:
                features, state = self._network.step(torch.tensor([begin_id]), state)
            logits = self._network.logits(features)
            return self._join(state, features, logits.logsumexp(-1))[0].clone()

    def _join(self, state: dict[str, Tensor], features: Tensor, log_normaliser: Tensor) -> Tensor:
        return self._layout.concat({**state, "features": features, "log_normaliser": log_normaliser[:, None]})

    def forward(self, batch: list[ActiveOperation]) -> list[TokenOutput]:
        """Feed all of `batch` what is due, a chunk at most; changes none of them."""
        chunk = CHUNK_ALONE if len(batch) == 1 else CHUNK_SHARED
        tokens = [sequence.next_ids(chunk) for sequence in batch]
        rows, logprobs = feed(self._network, self._layout, tokens, torch.stack([sequence.state for sequence in batch]))
        return self._look(batch, rows, logprobs)

    def _look(self, batch: list[ActiveOperation], rows: Tensor, logprobs: list[list[float]]) -> list[TokenOutput]:
        """Run the output layer on `rows`, complete them by its normalisers, and hand out the results."""
        state = self._layout.split(rows)
        logits = self._network.logits(self._network.features_of(state))
        normalisers = logits.logsumexp(-1)
        state["log_normaliser"][:, 0] = normalisers  # and so in `rows`, of which that is a view
        best = self._best([one.wants_best(len(fed)) for one, fed in zip(batch, logprobs, strict=True)], logits)
        shares = zip(rows.unbind(), logits.numpy(), normalisers.tolist(), logprobs, strict=True)
        return [TokenOutput(*share, best.get(at)) for at, share in enumerate(shares)]

    def _best(self, wanted: list[int], logits: Tensor) -> dict[int, tuple[list[int], list[float]]]:
        """Return ids and logits of the most probable tokens, for each row that wants some."""
        wanting = [at for at, count in enumerate(wanted) if count]
        if not wanting:
            return {}
        count = min(max(wanted) + len(self._vocabulary.special_ids), logits.shape[1])
        values, ids = (logits if len(wanting) == len(wanted) else logits[wanting]).topk(count)
        return dict(zip(wanting, zip(ids.tolist(), values.tolist(), strict=True), strict=True))
