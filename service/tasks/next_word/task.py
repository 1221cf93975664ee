"""Next-word prediction, scoring and generation with a language model."""

from typing import TypeAlias

import numpy as np
from torch import Tensor

from service.domain.cost import NUMBER_BYTES, Cost
from service.domain.errors import InvalidRequest
from service.domain.operations import Generate, Infer, OpenSession, Operation, Predict, Score, TextInput
from service.nets.largest import largest
from service.tasks.inputs import optional_text, require_text, text_field
from service.tasks.limits import TextLimits
from service.tasks.next_word.cost import next_word_cost
from service.tasks.next_word.feeding import feed
from service.tasks.next_word.generation import GenerateOperation
from service.tasks.next_word.initial_states import BeginningNetwork, InitialStates
from service.tasks.next_word.operations import (
    CHUNK_ALONE,
    CHUNK_SHARED,
    ActiveOperation,
    OpenOperation,
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
#: Rows of the network that a vector takes at most: the first input, and the begin token behind it.
VECTOR_ROWS = 2

AnyOperation: TypeAlias = PredictOperation | ScoreOperation | GenerateOperation | OpenOperation


class NextWordTask:
    """Next-word task: predicts, scores and generates with a language model.

    `special_tokens` maps the roles of config.json, such as `begin` and `end`, to tokens. `window` is the number of
    tokens that the network reads for an answer, None if it reads each once. `padding` is the token that fills a window.
    `vector_size` is that of the vector that a sequence begins with, None if it begins with none.
    """

    name = "next-word"

    def __init__(
        self,
        network: BeginningNetwork,
        vocabulary: Vocabulary,
        layout: StateLayout,
        special_tokens: dict[str, str],
        limits: TextLimits,
        *,
        window: int | None = None,
        padding: str | None = None,
        vector_size: int | None = None,
    ) -> None:
        self._network = network
        self._vocabulary = vocabulary
        self._layout = layout
        self.state_codec = NextWordStateCodec(layout, vector_size)
        self._limits = limits
        self._feed = feed if window is None else feed_windows
        self._rows_per_token = window or 1
        self.tensor_interface = NextWordTensors(vocabulary, vector_size)
        begin, end = special_tokens.get("begin"), special_tokens.get("end")
        self._end_id = None if end is None else vocabulary.token_to_id(end)
        #: The special tokens that are never generated.
        self._forbidden = np.array(sorted(vocabulary.special_ids - {self._end_id}), dtype=np.int64)
        begin_id, pad_id = (None if token is None else vocabulary.token_to_id(token) for token in (begin, padding))
        self._first = InitialStates(network, layout, vector_size=vector_size, begin_id=begin_id, pad_id=pad_id)

    @property
    def initial_state(self) -> Row | None:
        """The state before any input, or after the begin token if there is one; None if a vector comes first."""
        return self._first.plain

    @property
    def note(self) -> str:
        """The vector that a sequence begins with, in words, for the description of the model."""
        size = self._first.vector_size
        return "" if size is None else f"A sequence begins with a vector of {size} numbers (input.vector)."

    def cost(self, operation: Operation, *, in_session: bool) -> Cost:
        """Return what an operation takes at most."""
        state_bytes, rows = self._layout.state_bytes, self._rows_per_token
        cost = next_word_cost(operation, self._limits, state_bytes, self._vocabulary.size, rows)
        size = self._first.vector_size
        if size is None or (in_session and not isinstance(operation, OpenSession)):
            return cost
        return cost._replace(timesteps=cost.timesteps + VECTOR_ROWS, memory=cost.memory + NUMBER_BYTES * size)

    def start(self, operation: Operation, state: Row | None) -> ActiveOperation:
        """Validate and encode an operation on `state`. Raises InvalidRequest or a subclass; nothing is computed."""
        opens = isinstance(operation, OpenSession)
        vector = self._first.take(operation.input, state, again=opens and operation.input is None)
        active = self._start(operation, None if opens else state)
        active.rows_per_token, active.vector = self._rows_per_token, vector
        return active

    def _start(self, operation: Operation, state: Row | None) -> AnyOperation:
        if isinstance(operation, OpenSession):
            return self._start_session(operation)
        if isinstance(operation, Score):
            return ScoreOperation(self._encode(require_text(operation.input, vector=True)), state)
        if not isinstance(operation, Predict | Generate):
            raise InvalidRequest(f"{type(operation).__name__} is not for a next-word model", param="model")
        if isinstance(operation, Generate):
            text_input = optional_text(operation.input)
            encoded = NO_INPUT if text_input is None else self._encode(text_input)
            self._check_max_tokens(operation.options.max_tokens)
            return GenerateOperation(encoded, state, self._vocabulary, operation.options, self._end_id)
        return self._start_predict(operation, state)

    def _start_session(self, operation: OpenSession) -> OpenOperation:
        if self._first.vector_size is None:
            raise InvalidRequest(
                "input is given: expected none, since only a translation's session, or that of a model with a vector, "
                "is created with one",
                param="input",
            )
        if operation.input is not None and (text_input := optional_text(operation.input)) is not None:
            field = text_field(text_input)
            raise InvalidRequest(
                f"{field} is given: expected input.vector alone, since a session reads text by its steps", param=field
            )
        return OpenOperation(NO_INPUT, None)

    def _start_predict(self, operation: Predict, state: Row | None) -> PredictOperation:
        text_input = optional_text(operation.input)
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

    def forward(self, batch: list[ActiveOperation]) -> list[TokenOutput]:
        """Feed the next tokens of all operations and return one output for each. Operations are not modified."""
        chunk = CHUNK_ALONE if len(batch) == 1 else CHUNK_SHARED
        tokens = [operation.next_ids(chunk) for operation in batch]
        states = self._states(batch)
        rows, logprobs = self._feed(self._network, self._layout, tokens, states)
        return self._outputs(batch, rows, logprobs)

    def _states(self, batch: list[ActiveOperation]) -> Tensor:
        """Return the states (B, total) of all operations. Those without one read their vectors, all at once."""
        states = [operation.state for operation in batch]
        vectors = [operation.vector for operation in batch if operation.state is None and operation.vector is not None]
        if not vectors:
            return stack([state for state in states if state is not None])
        first = iter(self._first.read(vectors).numpy())
        return stack([next(first) if state is None else state for state in states])

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
