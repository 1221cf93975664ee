"""Translation task: texts, scores of given translations, and interactive sessions with an encoder-decoder."""

from collections.abc import Iterator, Sequence
from itertools import accumulate, islice, pairwise
from typing import TypeVar

from service.domain.cost import Cost
from service.domain.errors import InputTooLong, InvalidRequest
from service.domain.operations import Operation
from service.nets.models.encoder_decoder import EncoderDecoder
from service.tasks.limits import TextLimits
from service.tasks.state_layout import StateLayout
from service.tasks.translation.cost import translation_cost
from service.tasks.translation.decoding.batched_decoder import BatchedDecoder
from service.tasks.translation.decoding.encoder_cache import EncoderCache
from service.tasks.translation.operations import (
    EncodedSource,
    OpenOperation,
    PrefixOperation,
    ScoreOperation,
    TranslationOperation,
    TranslationOutput,
)
from service.tasks.translation.requests import (
    AcceptTranslation,
    GenerateTranslation,
    OpenTranslation,
    ScoreTranslation,
    Translate,
    TranslateOptions,
    read_request,
)
from service.tasks.translation.sentence_splitter import split_sentences
from service.tasks.translation.session_state import TranslationState, TranslationStateCodec
from service.tasks.translation.subwords import SubwordCodec
from service.tasks.translation.tensors import TranslationTensors
from service.tasks.translation.text_translation import Sentence, TextTranslation, TranslationGeneration
from service.tasks.vocabulary import EncodedText, Vocabulary

#: Sentences of a text that are encoded at once, which takes a few milliseconds.
EAGER_SENTENCES = 16

T = TypeVar("T")


class TranslationTask:
    """Translation task: translates texts, scores translations and completes accepted prefixes."""

    name = "translation"

    def __init__(self, network: EncoderDecoder, source: Vocabulary, target: Vocabulary, limits: TextLimits) -> None:
        self._network = network
        self._limits = limits
        roles = network.config.special_tokens
        self._source, self._target = SubwordCodec(source), SubwordCodec(target)
        # The configuration requires both roles, and the vocabularies were checked for their tokens.
        marks = network.config.encoder.marks
        ids = {role: source.token_to_id(roles[role]) or 0 for role in marks}
        self._before, self._after = ([ids[role]] if role in ids else [] for role in ("begin", "end"))
        begin, end = target.token_to_id(roles["begin"]) or 0, target.token_to_id(roles["end"]) or 0
        self._constraints = self._target.constraints(begin, end)
        layout = StateLayout.of(network.specs)
        # A source has a token more than its sentence for each mark around it.
        self.state_codec = TranslationStateCodec(
            layout, source.size, target.size, self._max_sentence_tokens + len(marks)
        )
        self._decoder = BatchedDecoder(network, layout)
        self._cache = EncoderCache()
        self.tensor_interface = TranslationTensors()

    @property
    def initial_state(self) -> TranslationState | None:
        """None, since a session has no state before its source is encoded."""
        return None

    def cost(self, operation: Operation, *, in_session: bool) -> Cost:
        """Return what an operation takes at most."""
        return translation_cost(operation, self._limits, self.state_codec.state_bytes, in_session=in_session)

    def start(self, operation: Operation, state: TranslationState | None) -> TranslationOperation:
        """Validate and encode an operation on `state`. Raises InvalidRequest or a subclass; nothing is computed."""
        request = read_request(operation, in_session=state is not None)
        match request:
            case Translate():
                return self._start_text(request)
            case ScoreTranslation():
                source = self._encode_source(request.text)
                target = self._encode_target(request.target, "input.target")
                return ScoreOperation(source, target, self._target, self._constraints)
            case OpenTranslation():
                return OpenOperation(self._source_of(request, state), self._constraints.begin)
            case AcceptTranslation():
                return self._start_prefix(request, state)

    def _start_text(self, operation: Translate) -> TextTranslation:
        options = operation.options
        self._check_options(options)
        sentences = self._encode_sentences(operation)
        first = [*islice(sentences, EAGER_SENTENCES)]
        if not first:
            raise InvalidRequest("input.text has no token: expected at least one word", param="input.text")
        kind = TranslationGeneration if isinstance(operation, GenerateTranslation) else TextTranslation
        return kind(first, sentences, self._target, self._constraints, options)

    def _encode_sentences(self, operation: Translate) -> Iterator[Sentence]:
        """Yield the encoded sentences of a text. Raises InputTooLong if they have more tokens than the limit."""
        options, tokens = operation.options, 0
        # Every word is a token at least.
        self._check_text(options, len(operation.text.split()))
        for text, separator in split_sentences(operation.text):
            encoded = self._encode_sentence(text)
            tokens += len(encoded.ids)
            self._check_text(options, tokens)
            yield Sentence(
                self._with_marks(encoded.ids),
                [
                    *map(self._source.id_to_token, self._before),
                    *encoded.tokens,
                    *map(self._source.id_to_token, self._after),
                ],
                encoded.unknown,
                self._max_target_tokens(options.max_tokens, len(encoded.ids)),
                separator,
            )

    def _check_text(self, options: TranslateOptions, tokens: int) -> None:
        """Raise InputTooLong for a text of too many tokens."""
        subject, limit = "input.text", self._limits.input_tokens
        if options.attention:  # the size of the output is quadratic in the length of the text
            subject = f"{subject}, with options.attention,"
            limit = self._limits.sentence_tokens // (1 + options.alternatives)
        self._check_length(subject, tokens, limit)

    def _check_options(self, options: TranslateOptions) -> None:
        if options.alternatives >= options.beam_size:
            raise InvalidRequest(
                f"options.alternatives is {options.alternatives}: expected less than options.beam_size "
                f"({options.beam_size}), since a beam finds no more",
                param="options.alternatives",
            )
        if options.attention and self._network.attention is None:
            raise InvalidRequest(
                "options.attention is true: expected false, since this model has no attention",
                param="options.attention",
            )

    def _start_prefix(self, operation: AcceptTranslation, state: TranslationState | None) -> PrefixOperation:
        if state is None:
            raise InvalidRequest("accepted words go to a session: expected one created with its source", param="input")
        accepted: list[int] = []
        if operation.text is not None:
            accepted = self._encode_target(operation.text, "input.text", after_prefix=state.accepted > 0).ids
        limit = self._max_target_tokens(operation.options.max_tokens, len(state.source) - 1)
        if operation.options.max_tokens is None:
            limit = max(10, limit - state.accepted - len(accepted))
        return PrefixOperation(
            state,
            self._cache.get(state.source),
            accepted,
            codec=self._target,
            constraints=self._constraints,
            options=operation.options,
            limit=limit,
        )

    def _source_of(self, request: OpenTranslation, state: TranslationState | None) -> tuple[int, ...]:
        """Return the source ids of a session: those of the request's text, else those of the session's state."""
        if request.text is not None or state is None:
            return self._encode_source(request.text or "")
        return state.source

    def _encode_source(self, text: str) -> tuple[int, ...]:
        if not text.strip():
            raise InvalidRequest("input.text has no token: expected at least one word", param="input.text")
        return self._with_marks(self._encode_sentence(text).ids)

    def _with_marks(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Return the ids of a source, given those of its sentence."""
        return (*self._before, *ids, *self._after)

    def _encode_sentence(self, text: str) -> EncodedText:
        limit = self._max_sentence_tokens
        subject = f"input.text has a sentence ({text[:30]!r}...) that"
        if self._source.exceeds(text, limit):
            raise InputTooLong(f"{subject} has more than {limit} tokens: expected at most {limit}", param="input.text")
        encoded = self._source.encode(text, "input.text")
        self._check_length(subject, len(encoded.ids), limit)
        return encoded

    @property
    def _max_sentence_tokens(self) -> int:
        limit = min(self._limits.sentence_tokens, self._limits.input_tokens)
        config = self._network.config
        if config.attention_length is None:
            return limit
        return max(1, min(limit, config.attention_length - len(config.encoder.marks)))

    def _encode_target(self, text: str, field: str, *, after_prefix: bool = False) -> EncodedText:
        limit = self._limits.generated_tokens
        if self._target.exceeds(text, limit):
            raise InputTooLong(f"{field} has more than {limit} tokens: expected at most {limit}", param=field)
        encoded = self._target.encode(text, field, after_prefix=after_prefix)
        if not encoded.ids:
            raise InvalidRequest(f"{field} has no token: expected at least one word", param=field)
        if len(encoded.ids) > limit:
            raise InputTooLong(f"{field} has {len(encoded.ids)} tokens: expected at most {limit}", param=field)
        return encoded

    def _check_length(self, subject: str, count: int, limit: int) -> None:
        if count > limit:
            raise InputTooLong(f"{subject} has {count} tokens: expected at most {limit}", param="input.text")

    def _max_target_tokens(self, requested: int | None, source_tokens: int) -> int:
        limit = self._limits.generated_tokens
        if requested is None:
            return min(limit, 2 * source_tokens + 10)
        if requested > limit:
            raise InvalidRequest(
                f"options.max_tokens is {requested}: expected at most {limit}", param="options.max_tokens"
            )
        return requested

    def forward(self, batch: list[TranslationOperation]) -> list[TranslationOutput]:
        """Encode all sources, advance all searches by one piece, and return one output for each operation.

        Operations are not modified.
        """
        encoded = self._decoder.encode([source for operation in batch for source in operation.sources])
        decoded = self._decoder.decode([search for operation in batch for search in operation.searches])
        sources = _split(encoded, [len(operation.sources) for operation in batch])
        searches = _split(decoded, [len(operation.searches) for operation in batch])
        for operation, own_sources in zip(batch, sources, strict=True):
            if operation.caches_memory:
                self._cache_memories(operation.sources, own_sources)
        return [TranslationOutput(*parts) for parts in zip(sources, searches, strict=True)]

    def _cache_memories(self, sources: Sequence[tuple[int, ...]], encoded: list[EncodedSource]) -> None:
        for source, own in zip(sources, encoded, strict=True):
            self._cache.put(source, own.memory)


def _split(items: list[T], counts: list[int]) -> list[list[T]]:
    """Split a list into parts of the given lengths."""
    return [items[start:end] for start, end in pairwise(accumulate(counts, initial=0))]
