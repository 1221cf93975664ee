"""Beam search and forced decoding over target pieces.

A search occupies one decoder row or several. At each timestep the task feeds `ids` to the rows of `state`, in one batch
with the rows of other searches, and passes the search its `DecoderOutput`.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from service.tasks.translation.subwords import TokenConstraints


class DecoderOutput(NamedTuple):
    """One timestep of R rows: log-probabilities (R, V), new states (R, total), attention weights (R, S) or None."""

    logprobs: Tensor
    state: Tensor
    attention: Tensor | None


class Search(Protocol):
    """The interface of a search to the task: the ids (R,) to feed next and the states (R, total) to feed them to."""

    ids: list[int]
    state: Tensor
    finished: bool

    def update(self, output: DecoderOutput) -> None:
        """Apply the output of a timestep to the search."""


class ForcedDecoding:
    """Feeds the target `pieces` except the last one, and collects the log-probability of each except the first.

    The last piece has yet to be fed to the final state.
    """

    def __init__(self, pieces: list[int], state: Tensor) -> None:
        self.ids = pieces[:1]
        self.state = state[None]
        self.finished = len(pieces) < 2
        self.logprobs: list[float] = []
        self._pieces = pieces

    def update(self, output: DecoderOutput) -> None:
        next_piece = self._pieces[len(self.logprobs) + 1]
        self.logprobs.append(float(output.logprobs[0, next_piece]))
        self.ids, self.state = [next_piece], output.state
        self.finished = len(self.logprobs) + 1 == len(self._pieces)


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """Target pieces, with the end of sequence if it was reached, and the sum of their log-probabilities.

    `attention` are the weights (S,) over the source for each piece, if they were requested.
    """

    pieces: list[int]
    logprob: float
    ended: bool
    attention: list[Tensor]

    @property
    def score(self) -> float:
        """The log-probability per piece."""
        return self.logprob / max(1, len(self.pieces))


#: Total log-probability, row of the hypothesis that it continues, piece.
Candidate: TypeAlias = tuple[float, int, int]
EMPTY = Hypothesis([], 0.0, False, [])


class BeamSearch:
    """Beam search with scores normalised by length: K. Cho et al. (2014), A. Graves (2012). Size 1 is greedy search.

    Of the 2 * `size` best continuations, those among the first `size` that end are results, and the best others stay in
    the beam. The search ends with `size` results, or after `limit` pieces. `first_mask` (V,) is added to the
    log-probabilities of the first piece.
    """

    def __init__(
        self,
        constraints: TokenConstraints,
        state: Tensor,
        piece: int,
        *,
        first_mask: Tensor,
        size: int,
        limit: int,
        keep_attention: bool = False,
    ) -> None:
        self.ids = [piece]
        self.state = state[None]
        self.finished = False
        self._constraints = constraints
        self._mask = first_mask
        self._size = size
        self._limit = limit
        self._keep_attention = keep_attention
        self._beam = [EMPTY]
        self._ended: list[Hypothesis] = []

    def update(self, output: DecoderOutput) -> None:
        candidates = self._candidates(output.logprobs)
        end = self._constraints.end
        ended = [candidate for candidate in candidates[: self._size] if candidate[2] == end]
        continued = [candidate for candidate in candidates if candidate[2] != end][: self._size]
        self._ended += [self._extend(candidate, output) for candidate in ended[: self._size - len(self._ended)]]
        if continued:
            self._beam = [self._extend(candidate, output) for candidate in continued]
            self.ids = [piece for _, _, piece in continued]
            self.state = output.state[[row for _, row, _ in continued]]
        self._mask = self._constraints.mask
        self._limit -= 1
        self.finished = not continued or not self._limit or len(self._ended) >= self._size

    def _candidates(self, logprobs: Tensor) -> list[Candidate]:
        """Return the best continuations of the hypotheses, best first."""
        best, pieces = (logprobs + self._mask).topk(min(2 * self._size, logprobs.shape[1]))
        before = torch.tensor([hypothesis.logprob for hypothesis in self._beam], dtype=torch.float64)
        totals = best.double() + before[:, None]
        values, indices = totals.flatten().topk(min(2 * self._size, totals.numel()))
        flat_pieces, width = pieces.flatten().tolist(), pieces.shape[1]
        ranked = zip(values.tolist(), indices.tolist(), strict=True)
        return [(value, index // width, flat_pieces[index]) for value, index in ranked if value > -torch.inf]

    def _extend(self, candidate: Candidate, output: DecoderOutput) -> Hypothesis:
        """Return the hypothesis that a candidate continues, with its piece appended."""
        logprob, row, piece = candidate
        before = self._beam[row]
        attention: list[Tensor] = []
        if self._keep_attention and output.attention is not None:
            attention = [*before.attention, output.attention[row]]
        return Hypothesis([*before.pieces, piece], logprob, piece == self._constraints.end, attention)

    def results(self) -> list[Hypothesis]:
        """Return the hypotheses that ended, best first, then, if these are too few, those that the limit cut off."""
        cut_off = [] if len(self._ended) >= self._size else self._beam
        return [*_by_score(self._ended), *_by_score(cut_off)]


def _by_score(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)
