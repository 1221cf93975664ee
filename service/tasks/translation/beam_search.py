"""Searches over target pieces: which to feed next, and what to do with the expectations that come back.

A search occupies one decoder row or several. The task feeds `ids` to `state`, row by row, together with the rows of all
other searches, and hands over what it has `DecoderOutput`.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from service.tasks.translation.subwords import TokenConstraints


class DecoderOutput(NamedTuple):
    """A timestep of R rows: log-probabilities (R, V), new states (R, total), weights over the source (R, S) or None."""

    logprobs: Tensor
    state: Tensor
    weights: Tensor | None


class Search(Protocol):
    """What the task sees of a search."""

    ids: list[int]
    state: Tensor
    finished: bool

    def update(self, seen: DecoderOutput) -> None:
        """Take the result of a timestep."""


class ForcedDecoding:
    """Feeds given pieces, all but the last, and keeps the log-probability of each but the first.

    The state afterwards has yet to be fed the last piece.
    """

    def __init__(self, pieces: list[int], state: Tensor) -> None:
        self.ids = pieces[:1]
        self.state = state[None]
        self.finished = len(pieces) < 2
        self.logprobs: list[float] = []
        self._pieces = pieces

    def update(self, seen: DecoderOutput) -> None:
        following = self._pieces[len(self.logprobs) + 1]
        self.logprobs.append(float(seen.logprobs[0, following]))
        self.ids, self.state = [following], seen.state
        self.finished = len(self.logprobs) + 1 == len(self._pieces)


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """Target pieces, the end included where it is reached, and their summed log-probability."""

    pieces: list[int]
    total: float
    ended: bool
    weights: list[Tensor]

    @property
    def score(self) -> float:
        """Log-probability per piece."""
        return self.total / max(1, len(self.pieces))


#: Total log-probability, row of the hypothesis that it continues, piece.
Candidate: TypeAlias = tuple[float, int, int]
NOTHING = Hypothesis([], 0.0, False, [])


class BeamSearch:
    """Beam search with the score normalised by length: K. Cho et al. (2014), A. Graves (2012); size 1 is greedy.

    Of the 2 * size best continuations, those among the first `size` that end are kept as results, the best others live
    on. It is over with `size` results, or after `limit` pieces.
    """

    def __init__(
        self,
        marks: TokenConstraints,
        state: Tensor,
        piece: int,
        *,
        opening: Tensor,
        size: int,
        limit: int,
        weights: bool = False,
    ) -> None:
        self.ids = [piece]
        self.state = state[None]
        self.finished = False
        self._marks = marks
        self._allowed = opening
        self._size = size
        self._limit = limit
        self._keeps_weights = weights
        self._live = [NOTHING]
        self._ended: list[Hypothesis] = []

    def update(self, seen: DecoderOutput) -> None:
        candidates = self._candidates(seen.logprobs)
        end = self._marks.end
        ended = [one for one in candidates[: self._size] if one[2] == end][: self._size - len(self._ended)]
        going_on = [one for one in candidates if one[2] != end][: self._size]
        self._ended += [self._longer(one, seen) for one in ended]
        if going_on:
            self._live = [self._longer(one, seen) for one in going_on]
            self.ids = [piece for _, _, piece in going_on]
            self.state = seen.state[[row for _, row, _ in going_on]]
        self._allowed = self._marks.never
        self._limit -= 1
        self.finished = not going_on or not self._limit or len(self._ended) >= self._size

    def _candidates(self, logprobs: Tensor) -> list[Candidate]:
        """Return total, row and piece of the best continuations, best first."""
        best, pieces = (logprobs + self._allowed).topk(min(2 * self._size, logprobs.shape[1]))
        totals = best.double() + torch.tensor([one.total for one in self._live], dtype=torch.float64)[:, None]
        values, places = totals.flatten().topk(min(2 * self._size, totals.numel()))
        flat, width = pieces.flatten().tolist(), pieces.shape[1]
        found = zip(values.tolist(), places.tolist(), strict=True)
        return [(value, place // width, flat[place]) for value, place in found if value > -torch.inf]

    def _longer(self, candidate: Candidate, seen: DecoderOutput) -> Hypothesis:
        total, row, piece = candidate
        before = self._live[row]
        kept = self._keeps_weights and seen.weights is not None
        weights = [*before.weights, seen.weights[row]] if kept and seen.weights is not None else []
        return Hypothesis([*before.pieces, piece], total, piece == self._marks.end, weights)

    def results(self) -> list[Hypothesis]:
        """Return what was found: ended ones by score, then those that the limit cut off."""
        rest = [] if len(self._ended) >= self._size else self._live
        return [group for part in (self._ended, rest) for group in sorted(part, key=lambda one: -one.score)]
