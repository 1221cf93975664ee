"""Translation operations in progress: the sources to encode, the searches to advance, and their outcome."""

from dataclasses import dataclass

from torch import Tensor

from service.domain.operations import Json, Observation, Outcome
from service.nets.layers.attention import EncoderMemory
from service.tasks.numbers import perplexity, round_digits
from service.tasks.translation.decoding.beam_search import BeamSearch, DecoderOutput, ForcedDecoding, Search
from service.tasks.translation.requests import CompletionOptions
from service.tasks.translation.session_state import TranslationState, initial_translation_state
from service.tasks.translation.subwords import SubwordCodec, TokenConstraints
from service.tasks.translation.word_completion import WordCompletionSearch
from service.tasks.vocabulary import EncodedText


@dataclass(frozen=True, slots=True)
class EncodedSource:
    """An encoded source: its memory (N = 1) and the decoder's first state (total,)."""

    memory: EncoderMemory
    state: Tensor


@dataclass(frozen=True, slots=True)
class ActiveSearch:
    """A search and the memory of the source that it attends to."""

    search: Search
    memory: EncoderMemory


@dataclass(frozen=True, slots=True)
class TranslationOutput:
    """The output of a timestep for one operation: its encoded sources and the outputs of its searches, in order."""

    sources: list[EncodedSource]
    searches: list[DecoderOutput]


class TranslationOperation:
    """Base class of the operations. A timestep encodes its `sources` and advances its `searches`."""

    #: Whether the memory of the source is cached, since later operations of the session use it.
    caches_memory = False

    def __init__(self, state: TranslationState | None) -> None:
        self.state = state
        self.finished = False
        self.sources: list[tuple[int, ...]] = []
        self.searches: list[ActiveSearch] = []

    @property
    def next_cost(self) -> int:
        """The number of tokens to encode and of rows to decode in the next timestep."""
        rows = sum(map(len, self.sources)) + sum(len(active.search.ids) for active in self.searches)
        return max(1, rows)

    @property
    def outcome_cost(self) -> int:
        """The cost of the outcome, which is small for most operations."""
        return 0

    def update(self, output: TranslationOutput) -> None:
        """Apply the output of a timestep to the operation."""
        for active, search_output in zip(self.searches, output.searches, strict=True):
            active.search.update(search_output)
        self.sources = []
        if output.sources:
            self._start_searches(output.sources)
        self.searches = [active for active in self.searches if not active.search.finished]
        self._continue()

    def _start_searches(self, sources: list[EncodedSource]) -> None:
        """Start the searches of sources that were encoded."""

    def _continue(self) -> None:
        """Set the sources and searches of the next timestep, or finish."""
        self.finished = not self.searches


class OpenOperation(TranslationOperation):
    """Encodes the source of a new session."""

    caches_memory = True

    def __init__(self, source: tuple[int, ...], begin: int) -> None:
        super().__init__(None)
        self.sources = [source]
        self._source = source
        self._begin = begin

    def _start_searches(self, sources: list[EncodedSource]) -> None:
        self.state = initial_translation_state(self._source, self._begin, sources[0].state)

    def outcome(self, state: bytes) -> Outcome:
        return Outcome({}, state, timesteps=len(self._source))


class ScoreOperation(TranslationOperation):
    """Feeds a given target and returns the log-probability of each of its tokens, the end included."""

    def __init__(
        self, source: tuple[int, ...], target: EncodedText, codec: SubwordCodec, constraints: TokenConstraints
    ) -> None:
        super().__init__(None)
        self.sources = [source]
        self._source = source
        self._target = target
        self._tokens = [*target.tokens, codec.id_to_token(constraints.end)]
        self._pieces = [constraints.begin, *target.ids, constraints.end]
        self._forced: ForcedDecoding | None = None

    def _start_searches(self, sources: list[EncodedSource]) -> None:
        self._forced = ForcedDecoding(self._pieces, sources[0].state)
        self.searches = [ActiveSearch(self._forced, sources[0].memory)]

    def outcome(self, state: bytes) -> Outcome:
        logprobs = self._forced.logprobs if self._forced is not None else []
        total = sum(logprobs)
        output: dict[str, Json] = {
            "tokens": list(self._tokens),
            "logprobs": [round_digits(logprob) for logprob in logprobs],
            "total_logprob": round_digits(total),
            "perplexity": perplexity(total / len(logprobs)),
            "unknown": list(self._target.unknown),
        }
        timesteps = len(self._source) + len(logprobs)
        return Outcome(output, state, timesteps, observation=Observation(len(logprobs), total))


class PrefixOperation(TranslationOperation):
    """Feeds accepted target words to a session, then searches for the next words and for the rest of the sentence."""

    caches_memory = True

    def __init__(
        self,
        state: TranslationState,
        memory: EncoderMemory | None,
        accepted: list[int],
        *,
        codec: SubwordCodec,
        constraints: TokenConstraints,
        options: CompletionOptions,
        limit: int,
    ) -> None:
        super().__init__(state)
        self._accepted = accepted
        self._codec = codec
        self._constraints = constraints
        self._options = options
        self._limit = limit
        self._memory = memory
        self._forced = ForcedDecoding([state.pending, *accepted], state.decoder)
        self._beam: BeamSearch | None = None
        self._words: WordCompletionSearch | None = None
        if memory is None:
            self.sources = [state.source]
        else:
            self._feed_accepted(memory)

    def _start_searches(self, sources: list[EncodedSource]) -> None:
        self._feed_accepted(sources[0].memory)

    def _feed_accepted(self, memory: EncoderMemory) -> None:
        self._memory = memory
        if self._forced.finished:
            self._search()
        else:
            self.searches = [ActiveSearch(self._forced, memory)]

    def _continue(self) -> None:
        if not self.searches and self._beam is None:
            self._search()
        self.finished = not self.searches

    def _search(self) -> None:
        """Set the state after the accepted words, and start the searches from there."""
        before, memory, options = self.state, self._memory, self._options
        assert before is not None  # noqa: S101 set by the constructor; for the type checker
        assert memory is not None  # noqa: S101 set before any search; likewise
        pending = [before.pending, *self._accepted][-1]
        count = before.accepted + len(self._accepted)
        self.state = TranslationState(before.source, count, pending, self._forced.final_state())
        decoder, after_prefix = self.state.decoder, count > 0
        first_mask = self._constraints.prefix_mask if after_prefix else self._constraints.first_mask
        self._beam = BeamSearch(
            self._constraints, decoder, pending, first_mask=first_mask, size=options.beam_size, limit=self._limit
        )
        self._words = WordCompletionSearch(
            self._codec,
            self._constraints,
            decoder,
            pending,
            first_mask=first_mask,
            after_prefix=after_prefix,
            top_k=options.top_k,
        )
        self.searches = [ActiveSearch(self._beam, memory), ActiveSearch(self._words, memory)]

    def outcome(self, state: bytes) -> Outcome:
        assert self._beam is not None  # noqa: S101 a finished operation has searched
        assert self._words is not None  # noqa: S101 likewise
        assert self.state is not None  # noqa: S101 likewise
        best = self._beam.results()[0]
        predictions: list[Json] = [
            {"token": text, "probability": round_digits(probability)} for text, probability in self._words.results()
        ]
        completion: dict[str, Json] = {
            "text": self._codec.decode(best.pieces, after_prefix=self.state.accepted > 0),
            "score": round_digits(best.score),
        }
        output: dict[str, Json] = {"predictions": predictions, "completion": completion}
        count = len(self._accepted)
        observation = Observation(count, sum(self._forced.logprobs)) if count else None
        return Outcome(output, state, timesteps=count, observation=observation)
