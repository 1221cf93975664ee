"""Search for the next whole words after a target prefix, for a network whose pieces are parts of words.

The most probable first pieces are continued piece by piece; at each length the search keeps the `breadth` most probable
unfinished words. The probability that a word ends at its last piece is that of all pieces which begin a new word or
attach as a mark, and of the end of sequence. So the probability of a listed word includes whatever follows it. The
search ends when no unfinished word can exceed the `top_k` best whole ones, or after `MAX_PIECES` pieces.
"""

import math
from collections import defaultdict

import torch
from torch import Tensor

from service.tasks.translation.decoding.beam_search import DecoderOutput
from service.tasks.translation.subwords import SubwordCodec, TokenConstraints

MAX_PIECES = 12
#: Unfinished words that are kept beyond `top_k`.
EXTRA_BREADTH = 4


class WordCompletionSearch:
    """Beam search over the pieces of the next word.

    `first_mask` (V,) is added to the log-probabilities of the first piece; with `after_prefix` other words precede it.
    """

    def __init__(
        self,
        codec: SubwordCodec,
        constraints: TokenConstraints,
        state: Tensor,
        piece: int,
        *,
        first_mask: Tensor,
        after_prefix: bool,
        top_k: int,
    ) -> None:
        self.ids = [piece]
        self.state = state[None]
        self.rows = [0]
        self.finished = False
        self._codec = codec
        self._after_prefix = after_prefix
        self._top_k = top_k
        self._breadth = top_k + EXTRA_BREADTH
        self._beam: list[tuple[list[int], float]] = [([], 0.0)]
        self._probabilities: dict[str, float] = defaultdict(float)
        self._first_mask = torch.minimum(first_mask, constraints.first_mask)
        ends_word = constraints.prefix_mask == 0
        self._inside_mask = torch.where(ends_word, -torch.inf, constraints.first_mask)
        self._ending_mask = torch.where(ends_word, 0.0, -torch.inf)

    def update(self, output: DecoderOutput) -> None:
        if not self._beam[0][0]:
            self._extend(output, output.logprobs + self._first_mask)
            if self._codec.word_level:
                self._finish_words()
            return
        ending = (output.logprobs + self._ending_mask).logsumexp(-1).tolist()
        inside = output.logprobs + self._inside_mask
        for row, (pieces, logprob) in enumerate(self._beam):
            text = self._codec.decode(pieces, after_prefix=self._after_prefix)
            if text.strip():
                self._probabilities[text] += math.exp(logprob + ending[row])
            else:  # only a mark of white space so far: any piece that can begin a word belongs to this one
                inside[row] = torch.maximum(inside[row], output.logprobs[row] + self._ending_mask + self._first_mask)
        self._extend(output, inside)

    def _extend(self, output: DecoderOutput, logprobs: Tensor) -> None:
        """Keep the most probable longer words; `logprobs` (R, V) is minus infinity for pieces that continue none."""
        totals = logprobs + torch.tensor([logprob for _, logprob in self._beam])[:, None]
        values, indices = totals.flatten().topk(min(self._breadth, totals.numel()))
        minimum = self._min_probability()
        min_logprob = math.log(minimum) if minimum > 0 else -math.inf
        best = [
            (value, *divmod(index, totals.shape[1]))
            for value, index in zip(values.tolist(), indices.tolist(), strict=True)
            if value > min_logprob
        ]
        beam = [([*self._beam[row][0], piece], value) for value, row, piece in best]
        self.finished = not beam or len(beam[0][0]) > MAX_PIECES
        if not self.finished:
            self._beam, self.ids = beam, [piece for _, _, piece in best]
            self.state, self.rows = output.state, [output.first_row + row for _, row, _ in best]

    def _finish_words(self) -> None:
        """Finish after the first piece, in a vocabulary whose pieces are words."""
        for pieces, logprob in self._beam:
            self._probabilities[self._codec.decode(pieces, after_prefix=self._after_prefix)] += math.exp(logprob)
        self.finished = True

    def _min_probability(self) -> float:
        """Return the probability that an unfinished word has to exceed."""
        best = sorted(self._probabilities.values(), reverse=True)[: self._top_k]
        return best[-1] if len(best) == self._top_k else 0.0

    def results(self) -> list[tuple[str, float]]:
        """Return the most probable words and their probabilities, best first."""
        ranked = sorted(self._probabilities.items(), key=lambda item: -item[1])
        return [(text, min(1.0, probability)) for text, probability in ranked[: self._top_k] if probability > 0]
