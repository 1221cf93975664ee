"""Translation with an encoder-decoder: whole texts, scores of given translations, and sessions of a translator."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TypeVar

from service.domain.errors import InputTooLong, InvalidRequest
from service.domain.operations import Operation
from service.nets.models.encoder_decoder import EncoderDecoder
from service.tasks.limits import TextLimits
from service.tasks.state_layout import StateLayout
from service.tasks.translation.batched_decoder import BatchedDecoder
from service.tasks.translation.encoder_cache import EncoderCache
from service.tasks.translation.operations import (
    Advance,
    OpenOperation,
    PrefixOperation,
    Read,
    ScoreOperation,
    TranslationOperation,
)
from service.tasks.translation.requests import (
    AcceptTranslation,
    OpenTranslation,
    ScoreTranslation,
    Translate,
    TranslateOptions,
    read_request,
)
from service.tasks.translation.sentence_splitter import split_sentences
from service.tasks.translation.session_state import TranslationState, TranslationStateCodec
from service.tasks.translation.subwords import SubwordCodec
from service.tasks.translation.text_translation import Sentence, TextTranslation
from service.tasks.vocabulary import EncodedText, Vocabulary

T = TypeVar("T")


class TranslationTask:
    """Turns operations into searches and runs a timestep for many of them at once."""

    name = "translation"

    def __init__(self, network: EncoderDecoder, source: Vocabulary, target: Vocabulary, limits: TextLimits) -> None:
        self._network = network
        self._limits = limits
        roles = network.config.special_tokens
        self._source, self._target = SubwordCodec(source), SubwordCodec(target)
        # Both roles are there: the configuration demands them, the vocabularies were checked for them.
        self._end_of_source = source.token_to_id(roles["end"]) or 0
        self._marks = self._target.marks(target.token_to_id(roles["begin"]) or 0, target.token_to_id(roles["end"]) or 0)
        layout = StateLayout([(spec.name, spec.shape) for spec in network.specs])
        # A source has one token more than its sentence: the end of sequence.
        self.state_codec = TranslationStateCodec(layout, source.size, target.size, self._longest_sentence + 1)
        self._passes = BatchedDecoder(network, layout)
        self._memories = EncoderCache()

    @property
    def initial_state(self) -> TranslationState | None:
        """None: a session has no state before its source is read."""
        return None

    def start(self, operation: Operation, state: TranslationState | None) -> TranslationOperation:
        """Encode and check the operation's input. Raises InvalidRequest and its kinds; nothing has run by then."""
        request = read_request(operation, in_session=state is not None)
        match request:
            case Translate():
                return self._start_text(request)
            case ScoreTranslation():
                source = self._one_source(request.text)
                target = self._encode_target(request.target, "input.target")
                return ScoreOperation(source, target, self._target, self._marks)
            case OpenTranslation():
                return OpenOperation(self._one_source(request.text), self._marks.begin)
            case AcceptTranslation():
                return self._start_accept(request, state)

    def _start_text(self, operation: Translate) -> TextTranslation:
        options = operation.options
        self._check_options(options)
        parts = [(self._encode_source(text), separator) for text, separator in self._sentences(operation.text)]
        what, most = "input.text", self._limits.input_tokens
        if options.attention:  # the answer grows with the square of the text
            what, most = f"{what}, with options.attention,", self._limits.sentence_tokens // (1 + options.alternatives)
        self._check_length(what, sum(len(encoded.ids) for encoded, _ in parts), most)
        sentences = [
            Sentence(
                (*encoded.ids, self._end_of_source),
                [*encoded.tokens, self._source.token(self._end_of_source)],
                self._limit(options.max_tokens, len(encoded.ids)),
                separator,
            )
            for encoded, separator in parts
        ]
        return TextTranslation(sentences, self._target, self._marks, options)

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

    def _start_accept(self, operation: AcceptTranslation, state: TranslationState | None) -> PrefixOperation:
        if state is None:
            raise InvalidRequest("accepted words go to a session: expected one created with its source", param="input")
        accepted: list[int] = []
        if operation.text is not None:
            accepted = self._encode_target(operation.text, "input.text", follows=state.accepted > 0).ids
        limit = self._limit(operation.options.max_tokens, len(state.source) - 1)
        if operation.options.max_tokens is None:
            limit = max(10, limit - state.accepted - len(accepted))
        memory = self._memories.get(state.source)
        options, pieces, marks = operation.options, self._target, self._marks
        return PrefixOperation(state, memory, accepted, pieces=pieces, marks=marks, options=options, limit=limit)

    def _sentences(self, text: str) -> list[tuple[str, str]]:
        sentences = split_sentences(text)
        if not sentences:
            raise InvalidRequest("input.text has no token: expected at least one word", param="input.text")
        return sentences

    def _one_source(self, text: str) -> tuple[int, ...]:
        if not text.strip():
            raise InvalidRequest("input.text has no token: expected at least one word", param="input.text")
        return (*self._encode_source(text).ids, self._end_of_source)

    def _encode_source(self, text: str) -> EncodedText:
        encoded = self._source.encode(text, "input.text")
        sentence = f"input.text has a sentence ({text[:30]!r}...) that"
        self._check_length(sentence, len(encoded.ids), self._longest_sentence)
        return encoded

    @property
    def _longest_sentence(self) -> int:
        return min(self._limits.sentence_tokens, self._limits.input_tokens)

    def _encode_target(self, text: str, field: str, *, follows: bool = False) -> EncodedText:
        encoded = self._target.encode(text, field, follows=follows)
        if not encoded.ids:
            raise InvalidRequest(f"{field} has no token: expected at least one word", param=field)
        if len(encoded.ids) > self._limits.generated_tokens:
            limit = self._limits.generated_tokens
            raise InputTooLong(f"{field} has {len(encoded.ids)} tokens: expected at most {limit}", param=field)
        return encoded

    def _check_length(self, what: str, count: int, limit: int) -> None:
        if count > limit:
            raise InputTooLong(f"{what} has {count} tokens: expected at most {limit}", param="input.text")

    def _limit(self, wanted: int | None, source_tokens: int) -> int:
        most = self._limits.generated_tokens
        if wanted is not None and wanted > most:
            raise InvalidRequest(f"options.max_tokens is {wanted}: expected at most {most}", param="options.max_tokens")
        return min(most, 2 * source_tokens + 10) if wanted is None else wanted

    def forward(self, batch: list[TranslationOperation]) -> list[Advance]:
        """Read the sources that are asked for and advance every search by one piece; changes no operation."""
        read = self._passes.read([source for one in batch for source in one.sources])
        seen = self._passes.look([placed for one in batch for placed in one.searches])
        reads = _cut(read, [len(one.sources) for one in batch])
        looks = _cut(seen, [len(one.searches) for one in batch])
        for operation, own in zip(batch, reads, strict=True):
            if operation.keeps_memory:
                self._keep(operation.sources, own)
        return [Advance(*shares) for shares in zip(reads, looks, strict=True)]

    def _keep(self, sources: Sequence[tuple[int, ...]], reads: list[Read]) -> None:
        for source, read in zip(sources, reads, strict=True):
            self._memories.put(source, read.memory)


def _cut(items: list[T], counts: list[int]) -> list[list[T]]:
    """Cut a list into parts of so many items each."""
    return [items[start:end] for start, end in pairwise(accumulate(counts, initial=0))]
