"""Linear-chain conditional random field over the tags of a sequence (J. Lafferty, A. McCallum and F. Pereira, 2001).

The score of tags y_1 .. y_T is start[y_1] + sum of logits[t, y_t] + sum of transitions[y_t, y_t+1] + end[y_T].

Parameters: `start_transitions` (L,), `end_transitions` (L,), `transitions` (L, L), from the row to the column.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from service.domain.operations import ComputeDtype
from service.nets.layers.packed_linear import Packable

Numbers = NDArray[np.float64]
NAMES = ("start_transitions", "end_transitions", "transitions")


class Crf(Packable):
    """CRF over L labels, uninitialised. Its sums are float64 in every compute dtype."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.start_transitions = nn.Parameter(torch.empty(labels))
        self.end_transitions = nn.Parameter(torch.empty(labels))
        self.transitions = nn.Parameter(torch.empty(labels, labels))
        self._start: Numbers
        self._end: Numbers
        self._transitions: Numbers

    def pack(self, dtype: ComputeDtype) -> None:  # noqa: ARG002 - additions stay in float64
        start, end, transitions = (self._parameters.pop(name) for name in NAMES)
        self._start, self._end = _array(start), _array(end)
        self._transitions = _array(transitions)

    def decode(self, logits: Numbers) -> list[int]:
        """Return the most probable tags of logits (T, L), by the algorithm of Viterbi."""
        scores = self._start + logits[0]
        origins: list[NDArray[np.intp]] = []
        for row in logits[1:]:
            paths = scores[:, None] + self._transitions
            origins.append(paths.argmax(0))
            scores = paths.max(0) + row
        tags = [int((scores + self._end).argmax())]
        for origin in reversed(origins):
            tags.append(int(origin[tags[-1]]))
        return tags[::-1]

    def marginals(self, logits: Numbers) -> Numbers:
        """Return the log-probability (T, L) of each tag at each timestep, over all tags of the others."""
        forward = [self._start + logits[0]]
        for row in logits[1:]:
            forward.append(_logsumexp(forward[-1][:, None] + self._transitions, 0) + row)
        backward = [self._end]
        for row in logits[:0:-1]:
            backward.append(_logsumexp(self._transitions + (row + backward[-1])[None], 1))
        sums = np.stack(forward) + np.stack(backward[::-1])
        marginals: Numbers = sums - _logsumexp(sums[-1], 0)
        return marginals


def _array(parameter: nn.Parameter | None) -> Numbers:
    assert parameter is not None  # noqa: S101 - the constructor sets it; this is for the type checker
    array: Numbers = parameter.detach().cpu().double().numpy()
    return array


def _logsumexp(numbers: Numbers, axis: int) -> Numbers:
    largest = numbers.max(axis, keepdims=True)
    total: Numbers = np.log(np.exp(numbers - largest).sum(axis)) + largest.squeeze(axis)
    return total
