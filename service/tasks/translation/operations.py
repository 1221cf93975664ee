"""Translation operations under way: which sources to read, which searches to advance, and what comes of them."""

from dataclasses import dataclass

from torch import Tensor

from service.domain.operations import Json, Observation, Outcome
from service.nets.layers.attention import EncoderMemory
from service.tasks.numbers import perplexity, round_digits
from service.tasks.translation.beam_search import BeamSearch, DecoderOutput, ForcedDecoding, Search
from service.tasks.translation.requests import CompletionOptions
from service.tasks.translation.session_state import TranslationState, at_source
from service.tasks.translation.subwords import SubwordCodec, TokenConstraints
from service.tasks.translation.word_completion import WordCompletionSearch
from service.tasks.vocabulary import EncodedText


@dataclass(frozen=True, slots=True)
class Read:
    """A source that was read: its memory (N = 1) and the decoder's first state (total,)."""

    memory: EncoderMemory
    state: Tensor


@dataclass(frozen=True, slots=True)
class Placed:
    """A search and the memory of the source that it attends to."""

    search: Search
    memory: EncoderMemory


@dataclass(frozen=True, slots=True)
class Advance:
    """One operation's share of a timestep: its sources read, and what each of its searches has seen, in order."""

    read: list[Read]
    seen: list[DecoderOutput]


class TranslationOperation:
    """The base of the operations. Before each timestep `sources` are to be read and `searches` to be advanced."""

    #: Whether others will want the memory of this source soon.
    keeps_memory = False

    def __init__(self, state: TranslationState | None) -> None:
        self.state = state
        self.finished = False
        self.sources: list[tuple[int, ...]] = []
        self.searches: list[Placed] = []

    def update(self, advance: Advance) -> None:
        """Take the result of a timestep."""
        for placed, seen in zip(self.searches, advance.seen, strict=True):
            placed.search.update(seen)
        self.sources = []
        if advance.read:
            self._on_read(advance.read)
        self.searches = [placed for placed in self.searches if not placed.search.finished]
        self._proceed()

    def _on_read(self, read: list[Read]) -> None:
        """Take the sources that were asked for."""

    def _proceed(self) -> None:
        """Go on with the searches that are left."""
        self.finished = not self.searches


class OpenOperation(TranslationOperation):
    """Reads the source of a new session."""

    keeps_memory = True

    def __init__(self, source: tuple[int, ...], begin: int) -> None:
        super().__init__(None)
        self.sources = [source]
        self._source = source
        self._begin = begin

    def _on_read(self, read: list[Read]) -> None:
        self.state = at_source(self._source, self._begin, read[0].state)

    def outcome(self, state: bytes) -> Outcome:
        return Outcome({}, state, timesteps=len(self._source))


class ScoreOperation(TranslationOperation):
    """Feeds a given target and reports the log-probability of each of its tokens, the end included."""

    def __init__(
        self, source: tuple[int, ...], target: EncodedText, pieces: SubwordCodec, marks: TokenConstraints
    ) -> None:
        super().__init__(None)
        self.sources = [source]
        self._source = source
        self._target = target
        self._tokens = [*target.tokens, pieces.token(marks.end)]
        self._fed = [marks.begin, *target.ids, marks.end]
        self._forced: ForcedDecoding | None = None

    def _on_read(self, read: list[Read]) -> None:
        self._forced = ForcedDecoding(self._fed, read[0].state)
        self.searches = [Placed(self._forced, read[0].memory)]

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
    """Feeds accepted target words to a session, then looks for the next words and for the rest of the sentence."""

    keeps_memory = True

    def __init__(
        self,
        position: TranslationState,
        memory: EncoderMemory | None,
        accepted: list[int],
        *,
        pieces: SubwordCodec,
        marks: TokenConstraints,
        options: CompletionOptions,
        limit: int,
    ) -> None:
        super().__init__(position)
        self._accepted = accepted
        self._pieces = pieces
        self._marks = marks
        self._options = options
        self._limit = limit
        self._memory = memory
        self._forced = ForcedDecoding([position.pending, *accepted], position.decoder)
        self._beam: BeamSearch | None = None
        self._words: WordCompletionSearch | None = None
        if memory is None:
            self.sources = [position.source]
        else:
            self._feed(memory)

    def _on_read(self, read: list[Read]) -> None:
        self._feed(read[0].memory)

    def _feed(self, memory: EncoderMemory) -> None:
        self._memory = memory
        if self._forced.finished:
            self._look()
        else:
            self.searches = [Placed(self._forced, memory)]

    def _proceed(self) -> None:
        if not self.searches and self._beam is None:
            self._look()
        self.finished = not self.searches

    def _look(self) -> None:
        """Search from where the session stands after the accepted words."""
        before, memory, options = self.state, self._memory, self._options
        assert before is not None  # noqa: S101 set from the start; for the type checker
        assert memory is not None  # noqa: S101 read by now; likewise
        last = [before.pending, *self._accepted][-1]
        count = before.accepted + len(self._accepted)
        after = TranslationState(before.source, count, last, self._forced.state[0])
        self.state, follows = after, count > 0
        opening = self._marks.onward if follows else self._marks.first
        self._beam = BeamSearch(
            self._marks, after.decoder, last, opening=opening, size=options.beam_size, limit=self._limit
        )
        self._words = WordCompletionSearch(
            self._pieces, self._marks, after.decoder, last, opening=opening, follows=follows, top_k=options.top_k
        )
        self.searches = [Placed(self._beam, memory), Placed(self._words, memory)]

    def outcome(self, state: bytes) -> Outcome:
        assert self._beam is not None  # noqa: S101 a finished operation has searched
        assert self._words is not None  # noqa: S101 likewise
        assert self.state is not None  # noqa: S101 likewise
        best = self._beam.results()[0]
        follows = self.state.accepted > 0
        predictions: list[Json] = [
            {"token": text, "probability": round_digits(probability)} for text, probability in self._words.results()
        ]
        completion: dict[str, Json] = {
            "text": self._pieces.text(best.pieces, follows=follows),
            "score": round_digits(best.score),
        }
        output: dict[str, Json] = {"predictions": predictions, "completion": completion}
        fed = len(self._accepted)
        observation = Observation(fed, sum(self._forced.logprobs)) if fed else None
        return Outcome(output, state, timesteps=fed, observation=observation)
