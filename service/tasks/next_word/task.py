"""Next-word prediction, scoring and generation with a language model."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from service.domain.cost import Cost
from service.domain.errors import InvalidRequest
from service.domain.operations import Generate, Infer, OpenSession, Operation, Predict, Score, TextInput
from service.nets.largest import largest
from service.nets.models.window import fill_window
from service.tasks.inputs import require_text
from service.tasks.limits import TextLimits
from service.tasks.next_word.cost import next_word_cost
from service.tasks.next_word.feeding import LanguageNetwork, feed
from service.tasks.next_word.generation import GenerateOperation
from service.tasks.next_word.operations import (
    CHUNK_ALONE,
    CHUNK_SHARED,
    ActiveOperation,
    PredictOperation,
    ScoreOperation,
    TokenOutput,
)
from service.tasks.next_word.requests import NextWordOptions
from service.tasks.next_word.session_state import NextWordStateCodec, Row, stack
from service.tasks.next_word.tensors import NextWordTensors
from service.tasks.next_word.token_choice import choose_tokens
from service.tasks.next_word.window_feeding import feed_windows
from service.tasks.options import convert_options
from service.tasks.state_layout import StateLayout
from service.tasks.text_encoding import empty_input, encode_text, require_length
from service.tasks.vocabulary import EncodedText, Vocabulary

NO_INPUT = EncodedText([], [], [])


class Network(LanguageNetwork, Protocol):
    """The part of a language model that the task uses."""

    def initial_recurrent_state(self, batch: int) -> dict[str, Tensor]: ...


class NextWordTask:
    """Next-word task: predicts, scores and generates with a language model.

    `special_tokens` maps the roles of config.json, such as `begin` and `end`, to tokens. `window` is the number of
    tokens that the network reads for an answer, None if it reads each once. `padding` is the token that fills a window.
    """

    name = "next-word"

    def __init__(
        self,
        network: Network,
        vocabulary: Vocabulary,
        layout: StateLayout,
        special_tokens: dict[str, str],
        limits: TextLimits,
        *,
        window: int | None = None,
        padding: str | None = None,
    ) -> None:
        self._network = network
        self._vocabulary = vocabulary
        self._layout = layout
        self.state_codec = NextWordStateCodec(layout)
        self._limits = limits
        self._feed = feed if window is None else feed_windows
        self._rows_per_token = window or 1
        self.tensor_interface = NextWordTensors(vocabulary)
        begin, end = special_tokens.get("begin"), special_tokens.get("end")
        self._end_id = None if end is None else vocabulary.token_to_id(end)
        #: The special tokens that are never generated.
        self._forbidden = np.array(sorted(vocabulary.special_ids - {self._end_id}), dtype=np.int64)
        begin_id, pad_id = (None if token is None else vocabulary.token_to_id(token) for token in (begin, padding))
        self._initial = self._make_initial(begin_id, pad_id)

    @property
    def initial_state(self) -> Row:
        """The state before any input: zeros, or the state after the begin token if there is one."""
        return self._initial

    def cost(self, operation: Operation, *, in_session: bool) -> Cost:  # noqa: ARG002 - the same in a session
        """Return what an operation takes at most."""
        state_bytes, rows = self._layout.state_bytes, self._rows_per_token
        return next_word_cost(operation, self._limits, state_bytes, self._vocabulary.size, rows)

    def start(self, operation: Operation, state: Row) -> ActiveOperation:
        """Validate and encode an operation on `state`. Raises InvalidRequest or a subclass; nothing is computed."""
        active = self._start(operation, state)
        active.rows_per_token = self._rows_per_token
        return active

    def _start(self, operation: Operation, state: Row) -> PredictOperation | ScoreOperation | GenerateOperation:
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
            encoded = NO_INPUT if operation.input is None else self._encode(require_text(operation.input))
            self._check_max_tokens(operation.options.max_tokens)
            return GenerateOperation(encoded, state, self._vocabulary, operation.options, self._end_id)
        return self._start_predict(operation, state)

    def _start_predict(self, operation: Predict, state: Row) -> PredictOperation:
        text_input = None if operation.input is None else require_text(operation.input)
        options = convert_options(operation.options, NextWordOptions, self.name)
        if text_input is None or not options.complete:
            encoded = NO_INPUT if text_input is None else self._encode(text_input)
            outputs = operation.outputs if isinstance(operation, Infer) else None
            return PredictOperation(encoded, state, self._vocabulary, options, outputs=outputs)
        words, prefix = self._split_prefix(text_input)
        encoded = self._encode(TextInput(tokens=tuple(words))) if words else NO_INPUT
        return PredictOperation(encoded, state, self._vocabulary, options, prefix=prefix)

    def _split_prefix(self, text_input: TextInput) -> tuple[list[str], str | None]:
        """Return the whole words and the unfinished last one, which is None after white space."""
        if text_input.ids is not None or not self._vocabulary.word_level:
            raise InvalidRequest(
                "options.complete is true: expected input.text or input.tokens of a word-level model, whose last word "
                "can be unfinished",
                param="options.complete",
            )
        if text_input.tokens is not None:
            return list(text_input.tokens[:-1]), text_input.tokens[-1]
        require_length(self._vocabulary, text_input.text or "", self._limits.input_tokens)
        words = self._vocabulary.split_words(text_input.text or "")
        if not words:
            raise empty_input("text")
        if text_input.text is not None and text_input.text[-1].isspace():
            return words, None
        return self._vocabulary.split_prefix(words, text_input.text or "")

    def _encode(self, text_input: TextInput) -> EncodedText:
        if text_input.target is not None:
            raise InvalidRequest("input.target is given: expected it of translation models only", param="input.target")
        return encode_text(self._vocabulary, text_input, self._limits.input_tokens)

    def _check_max_tokens(self, count: int) -> None:
        limit = self._limits.generated_tokens
        if count > limit:
            raise InvalidRequest(f"options.max_tokens is {count}: expected at most {limit}", param="options.max_tokens")

    def _make_initial(self, begin_id: int | None, pad_id: int | None) -> Row:
        with torch.inference_mode():
            state = self._network.initial_recurrent_state(1)
            if pad_id is not None:
                state = fill_window(state, pad_id)
            # A window that is filled with padding does not change when padding is fed.
            fed = begin_id if begin_id is not None else pad_id or 0
            features, after = self._network.step(torch.tensor([fed]), state)
            if begin_id is not None:
                state = after
            elif pad_id is None:
                features = torch.zeros_like(features)
            logits = self._network.logits(features)
            log_normaliser = logits.logsumexp(-1, keepdim=True)
            row = self._layout.concat({**state, "features": features, "log_normaliser": log_normaliser})[0]
            return row.numpy().copy()

    def forward(self, batch: list[ActiveOperation]) -> list[TokenOutput]:
        """Feed the next tokens of all operations and return one output for each. Operations are not modified."""
        chunk = CHUNK_ALONE if len(batch) == 1 else CHUNK_SHARED
        tokens = [operation.next_ids(chunk) for operation in batch]
        states = stack([operation.state for operation in batch])
        rows, logprobs = self._feed(self._network, self._layout, tokens, states)
        return self._outputs(batch, rows, logprobs)

    def _outputs(self, batch: list[ActiveOperation], rows: Tensor, logprobs: list[list[float]]) -> list[TokenOutput]:
        """Run the output layer on `rows` (B, total), store its normalisers there, and return the outputs."""
        state = self._layout.split(rows)
        logits = self._network.logits(self._network.features_of(state))
        samplers = [operation.requested_sampler(len(fed)) for operation, fed in zip(batch, logprobs, strict=True)]
        chosen, normalisers = choose_tokens(samplers, logits, self._forbidden)
        state["log_normaliser"][:, 0] = normalisers  # a view of `rows`, which is changed too
        top_k = [operation.requested_top_k(len(fed)) for operation, fed in zip(batch, logprobs, strict=True)]
        top_tokens = self._top_tokens(top_k, logits)
        outputs = zip(rows.numpy(), logits.numpy(), normalisers.tolist(), logprobs, strict=True)
        return [TokenOutput(*output, top_tokens.get(index), chosen[index]) for index, output in enumerate(outputs)]

    def _top_tokens(self, top_k: list[int], logits: Tensor) -> dict[int, tuple[list[int], list[float]]]:
        """Return ids and logits of the most probable tokens by row, for the rows of `logits` (B, V) with a `top_k`."""
        indices = [index for index, count in enumerate(top_k) if count]
        if not indices:
            return {}
        # Special tokens are removed from the list later.
        count = min(max(top_k) + len(self._vocabulary.special_ids), logits.shape[1])
        values, ids = largest(logits if len(indices) == len(top_k) else logits[indices], count)
        return dict(zip(indices, zip(ids.tolist(), values.tolist(), strict=True), strict=True))
