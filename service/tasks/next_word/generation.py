"""Generation in progress: samples tokens, feeds each of them, and hands them out while it runs."""

from collections.abc import Sequence

from service.domain.operations import GeneratedToken, GenerateOptions, Json, Outcome
from service.tasks.next_word.operations import FeedingOperation, TokenOutput
from service.tasks.next_word.sampling import Sampler
from service.tasks.next_word.session_state import Row
from service.tasks.next_word.token_pieces import TokenPieces
from service.tasks.numbers import round_digits
from service.tasks.vocabulary import EncodedText, Vocabulary

#: Generated tokens that take as long to decode as one row of the network.
TOKENS_PER_ROW = 256


class GenerateOperation(FeedingOperation):
    """Feeds the input, then samples tokens and feeds each of them.

    The final state is the one after all returned tokens, without the end-of-sequence token and without a stop text.
    """

    def __init__(
        self,
        encoded: EncodedText,
        state: Row | None,
        vocabulary: Vocabulary,
        options: GenerateOptions,
        end_id: int | None,
    ) -> None:
        super().__init__(encoded, state)
        self._vocabulary = vocabulary
        self._options = options
        self._end_id = end_id
        self._sampler = Sampler(options)
        self._generated: list[int] = []
        self._generated_logprobs: list[float] = []
        #: With `logprobs`: the most probable tokens in the place of each generated one.
        self._alternatives: list[tuple[tuple[str, float], ...]] = []
        #: With stop texts: the states after the input and after each generated token.
        self._states: list[Row] = []
        self._text: str | None = None
        self._finish_reason = "length"
        #: Of a streamed generation: the pieces of its text, and the number of tokens that were handed out.
        self._pieces: TokenPieces | None = None
        self._handed_out = 0

    @property
    def next_cost(self) -> int:
        """The cost of the next timestep: with stop texts, it also decodes all that was generated."""
        decoded = len(self._generated) // TOKENS_PER_ROW if self._options.stop else 0
        return super().next_cost + decoded

    def next_ids(self, limit: int) -> Sequence[int]:
        generated_fed = len(self._logprobs) - len(self._encoded.ids)
        return super().next_ids(limit) if generated_fed < 0 else self._generated[generated_fed:]

    def requested_sampler(self, fed: int) -> Sampler | None:
        """Return the sampler if the input ends with these tokens and more tokens are to be generated."""
        input_ends = len(self._logprobs) + fed >= len(self._encoded.ids)
        return self._sampler if input_ends and len(self._generated) < self._options.max_tokens else None

    def requested_top_k(self, fed: int) -> int:
        """Return how many alternatives to the next token the output should list."""
        return self._options.logprobs or 0 if self.requested_sampler(fed) is not None else 0

    def _process_logits(self, output: TokenOutput) -> None:
        if self._options.stop:
            # A copy, since the row is a view that would keep the states of the whole batch in memory.
            self._states.append(output.state.copy())
        index = output.chosen
        if index is None:  # all tokens were generated
            self.finished = True
            return
        self._sampler.advance()
        if index == self._end_id:
            self.finished, self._finish_reason = True, "stop"
            return
        self._generated.append(index)
        self._generated_logprobs.append(float(output.logits[index]) - output.log_normaliser)
        if output.top_tokens is not None and self._options.logprobs:
            self._alternatives.append(self._most_probable(output, *output.top_tokens))
        self._check_stop_texts()

    def _most_probable(
        self, output: TokenOutput, ids: Sequence[int], logits: Sequence[float]
    ) -> tuple[tuple[str, float], ...]:
        ranked = [
            (self._vocabulary.id_to_token(index), round_digits(logit - output.log_normaliser))
            for index, logit in zip(ids, logits, strict=True)
            if index not in self._vocabulary.special_ids
        ]
        return tuple(ranked[: self._options.logprobs])

    def _check_stop_texts(self) -> None:
        """Finish if the generated text contains a stop text, and remove that from tokens, text and state."""
        if not self._options.stop:
            return
        text = self._vocabulary.decode(self._generated)
        starts = [start for stop in self._options.stop if (start := text.find(stop)) >= 0]
        if not starts:
            return
        end = min(starts)
        self._text = text[:end].rstrip() if self._vocabulary.word_level else text[:end]
        while self._generated and len(self._vocabulary.decode(self._generated)) > end:
            self._generated.pop()
        self.state = self._states[len(self._generated)]
        self.finished, self._finish_reason = True, "stop"

    def new_tokens(self) -> list[GeneratedToken]:
        """Return the tokens that were not returned before and are certain to be in the outcome."""
        if self._pieces is None:
            self._pieces = TokenPieces(self._vocabulary, self._options.stop)
        for index in self._generated[self._pieces.count :]:
            self._pieces.add(index)
        texts = self._pieces.rest(len(self._generated), self._plain_text()) if self.finished else self._pieces.certain()
        if self.finished and not self._generated:  # what the first token has before a stop text
            return [GeneratedToken("", text, 0.0)] if (text := self._plain_text()) else []
        start, self._handed_out = self._handed_out, self._handed_out + len(texts)
        if texts and start == 0:
            texts[0] = self._separator() + texts[0]
        return [self._token(start + place, text) for place, text in enumerate(texts)]

    def _token(self, place: int, text: str) -> GeneratedToken:
        token = self._vocabulary.id_to_token(self._generated[place])
        alternatives = self._alternatives[place] if self._alternatives else ()
        return GeneratedToken(token, text, round_digits(self._generated_logprobs[place]), alternatives)

    def _plain_text(self) -> str:
        return self._vocabulary.decode(self._generated) if self._text is None else self._text

    def _separator(self) -> str:
        """Return with `echo` what stands between the texts of the input and of the first generated token."""
        if not (self._options.echo and self._generated and self._encoded.ids):
            return ""
        before, first = self._encoded.ids[-1:], self._generated[:1]
        both = self._vocabulary.decode([*before, *first])
        return both[len(self._vocabulary.decode(before)) :].removesuffix(self._vocabulary.decode(first))

    def _details(self) -> dict[str, Json]:
        """Return the fields of the output that `logprobs` and `echo` ask for."""
        fields: dict[str, Json] = {}
        if self._options.logprobs is not None:
            pieces = TokenPieces(self._vocabulary, ())
            for index in self._generated:
                pieces.add(index)
            texts = pieces.rest(len(self._generated), self._plain_text())
            fields["pieces"] = [self._separator() + text if place == 0 else text for place, text in enumerate(texts)]
            fields["alternatives"] = [
                [[token, logprob] for token, logprob in alternatives]
                for alternatives in self._alternatives[: len(self._generated)]
            ]
        if self._options.echo:
            count = len(self._encoded.ids)
            fields["input"] = {
                "text": self._vocabulary.decode(self._encoded.ids),
                "tokens": list(self._encoded.tokens),
                "logprobs": [round_digits(logprob) for logprob in self._logprobs[:count]],
            }
        return fields

    def outcome(self, state: bytes) -> Outcome:
        count = len(self._generated)
        output: dict[str, Json] = {
            "text": self._separator() + self._plain_text(),
            "tokens": [self._vocabulary.id_to_token(index) for index in self._generated],
            "logprobs": [round_digits(logprob) for logprob in self._generated_logprobs[:count]],
            "finish_reason": self._finish_reason,
            **self._details(),
        }
        timesteps = len(self._encoded.ids) + count
        return Outcome(output, state, timesteps, generated=count, observation=self._observation())
