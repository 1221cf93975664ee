"""Feeds tokens to many states at once, to each as many as it has."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from service.tasks.state_layout import StateLayout

State = dict[str, Tensor]
#: How many rows of logits are held at a time while no more is wanted of them than their normalisers.
LOGIT_ROWS = 64


class LanguageNetwork(Protocol):
    """What feeding needs of a network; `nets.LanguageModel` is one. State: name -> (batch, size)."""

    def step(self, ids: Tensor, state: State) -> tuple[Tensor, State]: ...
    def features_of(self, state: State) -> Tensor: ...
    def logits(self, features: Tensor) -> Tensor: ...
    def score(self, ids: Tensor, features: Tensor) -> Tensor: ...


def feed(
    network: LanguageNetwork, layout: StateLayout, tokens: Sequence[Sequence[int]], rows: Tensor
) -> tuple[Tensor, list[list[float]]]:
    """Feed each state its tokens, timestep by timestep, fewer states with each; then all their scores together.

    Args:
        tokens: for each state its tokens, perhaps none.
        rows: the states (B, total), which may be overwritten.

    Returns:
        The states after them, whose `log_normaliser` is 0 where tokens were fed, and the tokens' log-probabilities.
    """
    if not any(tokens):
        return rows, [[] for _ in tokens]
    order = sorted(range(len(tokens)), key=lambda at: -len(tokens[at]))
    counts = [sum(len(own) > time for own in tokens) for time in range(len(tokens[order[0]]) + 1)]
    together = counts[-2] == len(tokens)
    state = layout.cut(rows if together else rows[order])
    ids: list[Tensor] = []
    before = [network.features_of(state)[: counts[0]]]
    normalisers = [state["log_normaliser"][: counts[0], 0]]
    for time, count in enumerate(counts[:-1]):
        ids.append(torch.tensor([tokens[at][time] for at in order[:count]]))
        features, state = network.step(ids[-1], {name: value[:count] for name, value in state.items()})
        going_on = counts[time + 1]
        if going_on < count:
            blank = torch.zeros(count, 1)
            joined = layout.join({**state, "features": features, "log_normaliser": blank})
            if together:
                rows = joined  # and no copy of all states on their way in and out
            else:
                rows[torch.tensor(order[going_on:count])] = joined[going_on:]
        before.append(features[:going_on])
    normalisers += _normalisers(network, before[1:-1])
    scores = network.score(torch.cat(ids), torch.cat(before)) - torch.cat(normalisers)
    # Rounded differently from the normaliser, the score of a certain token can come out above 0.
    return rows, _by_state(scores.clamp(max=0.0).tolist(), order, counts)


def _normalisers(network: LanguageNetwork, features: Sequence[Tensor]) -> list[Tensor]:
    """The log of the sum of exp(logits) at features (n, D) each, a part at a time."""
    if not features:
        return []
    parts = [network.logits(part).logsumexp(-1) for part in torch.split(torch.cat([*features]), LOGIT_ROWS)]
    return [*torch.split(torch.cat(parts), [len(one) for one in features])]


def _by_state(scores: list[float], order: Sequence[int], counts: Sequence[int]) -> list[list[float]]:
    found: list[list[float]] = [[] for _ in order]
    place = 0
    for count in counts:
        for at, score in zip(order[:count], scores[place : place + count], strict=True):
            found[at].append(score)
        place += count
    return found
