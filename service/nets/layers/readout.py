"""Readouts: what the layers behind recurrent ones read of all their outputs so far.

`each` and `last_output` read the output of the last timestep, `last` the last output of each direction, `mean` and
`max` the mean and the maximum of all outputs. `attention` reads their mean weighted by a softmax over scores
s_t = score(activation(hidden(h_t))), or score(h_t) without a hidden layer, which is known as attention pooling. A
stream has no end, so the sums of the softmax are kept relative to the largest score so far (M. Milakov and
N. Gimelshein, "Online normalizer calculation for softmax", 2018).

Parameters of `attention`: `hidden.weight/bias` (A, O) where there is such a layer, `score.weight/bias` (1, A or O).
"""

import torch
from torch import Tensor, nn

from service.nets.config.feed_forward import LinearConfig
from service.nets.layers.activations import apply_by_row, make_activation
from service.nets.layers.dense import Linear

State = dict[str, Tensor]


class LastReadout(nn.Module):
    """Readout of the last output. The state keeps it as `output`, unless it is the recurrent tensor `kept_as`."""

    def __init__(self, kept_as: str) -> None:
        super().__init__()
        self._kept_as = kept_as

    def advance(self, output: Tensor, state: State, counts: Tensor) -> State:  # noqa: ARG002 - the arguments of all readouts
        """Return the tensors of the readout after one more timestep.

        Args:
            output: outputs (B, O) of the timestep.
            state: the tensors (B, size) before it; others are ignored.
            counts: the numbers of timesteps (B, 1) before it.
        """
        return {"output": output} if self._kept_as == "output" else {}

    def value(self, state: State, counts: Tensor) -> Tensor:  # noqa: ARG002 - likewise
        """Return the readout (B, O) of a state after `counts` (B, 1) timesteps, at least one."""
        return state[self._kept_as]

    def whole(self, outputs: Tensor) -> Tensor:
        """Return the readout of all outputs of a sequence at once: (T, O) -> (1, O)."""
        return outputs[-1:]


class MeanReadout(nn.Module):
    """Readout of the mean of all outputs, of which the state keeps the `sum`."""

    def advance(self, output: Tensor, state: State, counts: Tensor) -> State:  # noqa: ARG002 - likewise
        return {"sum": state["sum"] + output}

    def value(self, state: State, counts: Tensor) -> Tensor:
        return state["sum"] / counts

    def whole(self, outputs: Tensor) -> Tensor:
        return outputs.mean(0, keepdim=True)


class MaxReadout(nn.Module):
    """Readout of the maximum of all outputs, number by number."""

    def advance(self, output: Tensor, state: State, counts: Tensor) -> State:
        return {"maximum": torch.where(counts > 0, torch.maximum(state["maximum"], output), output)}

    def value(self, state: State, counts: Tensor) -> Tensor:  # noqa: ARG002 - likewise
        return state["maximum"]

    def whole(self, outputs: Tensor) -> Tensor:
        return outputs.amax(0, keepdim=True)


class AttentionReadout(nn.Module):
    """Readout of the mean of all outputs, weighted by a softmax over their scores.

    The state keeps the largest score, and the sums of exp(score - largest) and of the outputs multiplied by it.
    """

    def __init__(self, width: int, hidden: LinearConfig | None) -> None:
        super().__init__()
        self.hidden = None if hidden is None else Linear(width, hidden.size)
        self.score = Linear(width if hidden is None else hidden.size, 1)
        self._activation = make_activation("none" if hidden is None else hidden.activation)

    def advance(self, output: Tensor, state: State, counts: Tensor) -> State:
        scores = self._scores(output)
        largest = torch.where(counts > 0, torch.maximum(state["max_score"], scores), scores)
        # The first largest score is that of a state of zeros, so its sums stay zero.
        decay = apply_by_row(torch.exp, torch.where(counts > 0, state["max_score"] - largest, 0.0))
        weight = apply_by_row(torch.exp, scores - largest)
        return {
            "max_score": largest,
            "weight_sum": state["weight_sum"] * decay + weight,
            "weighted_sum": state["weighted_sum"] * decay + weight * output,
        }

    def value(self, state: State, counts: Tensor) -> Tensor:  # noqa: ARG002 - likewise
        # The largest score weighs 1, so every sum is 1 at least, but for what an imported state may hold.
        return state["weighted_sum"] / state["weight_sum"].clamp(min=1)

    def whole(self, outputs: Tensor) -> Tensor:
        return (self._scores(outputs).softmax(0) * outputs).sum(0, keepdim=True)

    def _scores(self, outputs: Tensor) -> Tensor:
        """Return (..., O) -> (..., 1)."""
        scores: Tensor = self.score(outputs if self.hidden is None else self._activation(self.hidden(outputs)))
        return scores


def make_readout(
    kind: str, width: int, kept_as: str, hidden: LinearConfig | None
) -> LastReadout | MeanReadout | MaxReadout | AttentionReadout:
    """Create the readout that config.json names, for outputs of `width` numbers."""
    if kind == "mean":
        return MeanReadout()
    if kind == "max":
        return MaxReadout()
    return AttentionReadout(width, hidden) if kind == "attention" else LastReadout(kept_as)
