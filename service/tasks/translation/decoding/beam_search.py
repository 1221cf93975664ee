"""Beam search and forced decoding over target pieces.

A search occupies one decoder row or several. At each timestep the task feeds `ids` to its `rows` of `state`, in one
batch with the rows of other searches, and passes the search its `DecoderOutput`.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from service.tasks.translation.subwords import TokenConstraints

#: Total log-probability, row of the hypothesis that it continues, piece.
Candidate: TypeAlias = tuple[float, int, int]


class DecoderOutput(NamedTuple):
    """One timestep of the R rows of a search.

    `logprobs` (R, V) are the log-probabilities of the next piece. The new states of the rows are those from `first_row`
    on in `state` (B, total), which all searches of the batch share. A beam search gets its best `candidates`, best
    first, and if it keeps the attention, the weights `attention` (R, S).
    """

    logprobs: Tensor
    state: Tensor
    first_row: int
    candidates: list[Candidate]
    attention: Tensor | None


class Search(Protocol):
    """The interface of a search to the task: the ids (R,) to feed next, and the rows (R,) of `state` (B, total)."""

    ids: list[int]
    state: Tensor
    rows: list[int]
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
        self.rows = [0]
        self.finished = len(pieces) < 2
        self.logprobs: list[float] = []
        self._pieces = pieces

    def update(self, output: DecoderOutput) -> None:
        next_piece = self._pieces[len(self.logprobs) + 1]
        self.logprobs.append(float(output.logprobs[0, next_piece]))
        self.ids, self.state, self.rows = [next_piece], output.state, [output.first_row]
        self.finished = len(self.logprobs) + 1 == len(self._pieces)

    def final_state(self) -> Tensor:
        """Return the state (total,) after the pieces that were fed, as a copy of its own."""
        return self.state[self.rows[0]].clone()


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """Target pieces, with the end of sequence if it was reached, and their log-probabilities with the sum of them.

    `attention` are the weights (S,) over the source for each piece, if they were requested.
    """

    pieces: list[int]
    logprob: float
    ended: bool
    attention: list[Tensor]
    logprobs: list[float]

    @property
    def score(self) -> float:
        """The log-probability per piece."""
        return self.logprob / max(1, len(self.pieces))


EMPTY = Hypothesis([], 0.0, False, [], [])
NO_STATE = torch.empty(0, 0)


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
        self.rows = [0]
        self.finished = False
        #: The mask (V,) to add to the log-probabilities of the next piece.
        self.mask = first_mask
        self.size = size
        self.keep_attention = keep_attention
        self._constraints = constraints
        self._limit = limit
        self._beam = [EMPTY]
        self._ended: list[Hypothesis] = []

    def logprobs(self) -> list[float]:
        """Return the log-probability of each hypothesis in the beam."""
        return [hypothesis.logprob for hypothesis in self._beam]

    def update(self, output: DecoderOutput) -> None:
        end = self._constraints.end
        continued = [candidate for candidate in output.candidates if candidate[2] != end][: self.size]
        self._add_ended(output)
        if continued:
            self._beam = [self._extend(candidate, output) for candidate in continued]
        self.mask = self._constraints.mask
        self._limit -= 1
        self.finished = not continued or not self._limit or len(self._ended) >= self.size
        self.ids = [piece for _, _, piece in continued]
        self.rows = [output.first_row + row for _, row, _ in continued]
        # A finished search must not keep the states of the whole batch in memory.
        self.state = NO_STATE if self.finished else output.state

    def _add_ended(self, output: DecoderOutput) -> None:
        """Add the hypotheses that end among the first `size` candidates to the results."""
        end = self._constraints.end
        ended = [candidate for candidate in output.candidates[: self.size] if candidate[2] == end]
        self._ended += [self._extend(candidate, output) for candidate in ended[: self.size - len(self._ended)]]

    def _extend(self, candidate: Candidate, output: DecoderOutput) -> Hypothesis:
        """Return the hypothesis that a candidate continues, with its piece appended."""
        logprob, row, piece = candidate
        before = self._beam[row]
        attention: list[Tensor] = []
        if output.attention is not None:
            attention = [*before.attention, output.attention[row]]
        logprobs = [*before.logprobs, logprob - before.logprob]
        return Hypothesis([*before.pieces, piece], logprob, piece == self._constraints.end, attention, logprobs)

    def results(self) -> list[Hypothesis]:
        """Return the hypotheses that ended, best first, then, if these are too few, those that the limit cut off."""
        cut_off = [] if len(self._ended) >= self.size else self._beam
        return [*_by_score(self._ended), *_by_score(cut_off)]


def _by_score(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)
