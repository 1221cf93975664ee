"""The next whole words after a target prefix, of a network that writes pieces of words.

The most probable first pieces are continued piece by piece, the `breadth` most probable unfinished words at a time. At
each length the probability that the word is over is that of all pieces which begin a new word or attach as a mark, and
of the end; so a listed probability is that of the word with whatever follows. The search is over when no unfinished
word can overtake the `top_k` best whole ones any more, or after `MAX_PIECES` pieces.
"""

import math
from collections import defaultdict

import torch
from torch import Tensor

from service.tasks.translation.beam_search import DecoderOutput
from service.tasks.translation.subwords import SubwordCodec, TokenConstraints

MAX_PIECES = 12
SPARE = 4


class WordCompletionSearch:
    """A short beam search over the pieces of one word."""

    def __init__(
        self,
        pieces: SubwordCodec,
        marks: TokenConstraints,
        state: Tensor,
        piece: int,
        *,
        opening: Tensor,
        follows: bool,
        top_k: int,
    ) -> None:
        self.ids = [piece]
        self.state = state[None]
        self.finished = False
        self._pieces = pieces
        self._follows = follows
        self._top_k = top_k
        self._breadth = top_k + SPARE
        self._live: list[tuple[list[int], float]] = [([], 0.0)]
        self._words: dict[str, float] = defaultdict(float)
        self._opening = torch.minimum(opening, marks.first)
        over = marks.onward == 0
        self._inside = torch.where(over, -torch.inf, marks.first)
        self._over = torch.where(over, 0.0, -torch.inf)

    def update(self, seen: DecoderOutput) -> None:
        if not self._live[0][0]:
            self._grow(seen, seen.logprobs + self._opening)
            if self._pieces.word_level:
                self._finish_all()
            return
        ending = (seen.logprobs + self._over).logsumexp(-1).tolist()
        inside = seen.logprobs + self._inside
        for row, (pieces, total) in enumerate(self._live):
            text = self._pieces.text(pieces, follows=self._follows)
            if text.strip():
                self._words[text] += math.exp(total + ending[row])
            else:  # a mark of space by itself: whatever comes next belongs to the word
                inside[row] = torch.maximum(inside[row], seen.logprobs[row] + self._over + self._opening)
        self._grow(seen, inside)

    def _grow(self, seen: DecoderOutput, continued: Tensor) -> None:
        """Keep the most probable longer words: `continued` (R, V), minus infinity for what does not continue one."""
        totals = continued + torch.tensor([total for _, total in self._live])[:, None]
        values, places = totals.flatten().topk(min(self._breadth, totals.numel()))
        floor = math.log(self._bar()) if self._bar() > 0 else -math.inf
        found = [
            (value, *divmod(place, totals.shape[1]))
            for value, place in zip(values.tolist(), places.tolist(), strict=True)
            if value > floor
        ]
        live = [([*self._live[row][0], piece], value) for value, row, piece in found]
        self.finished = not live or len(live[0][0]) > MAX_PIECES
        if not self.finished:
            self._live, self.ids = live, [pieces[-1] for pieces, _ in live]
            self.state = seen.state[[row for _, row, _ in found]]

    def _finish_all(self) -> None:
        """Every piece is a word."""
        for pieces, total in self._live:
            self._words[self._pieces.text(pieces, follows=self._follows)] += math.exp(total)
        self.finished = True

    def _bar(self) -> float:
        """Return the probability that an unfinished word has to beat."""
        best = sorted(self._words.values(), reverse=True)[: self._top_k]
        return best[-1] if len(best) == self._top_k else 0.0

    def results(self) -> list[tuple[str, float]]:
        """Return the most probable words, best first."""
        ranked = sorted(self._words.items(), key=lambda item: -item[1])
        return [(text, min(1.0, probability)) for text, probability in ranked[: self._top_k] if probability > 0]
