"""Token feeding: many states at once, each with its own number of tokens."""

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
    """Feed each state its tokens, timestep by timestep, then score all tokens together.

    Args:
        tokens: for each state its tokens, perhaps none.
        rows: the states (B, total), which may be overwritten.

    Returns:
        The states after them, whose `log_normaliser` is 0 where tokens were fed, and the tokens' log-probabilities.
    """
    if not any(tokens):
        return rows, [[] for _ in tokens]
    order, ids = _longest_first(tokens)
    counts = [*map(len, ids), 0]
    # States that all take as many tokens stay in their order: no copy of all of them on their way in and out.
    together = counts[-2] == len(tokens)
    state = layout.split(rows if together else rows[order])
    before = [network.features_of(state)[: counts[0]]]
    normalisers = [state["log_normaliser"][: counts[0], 0]]
    for time, count in enumerate(counts[:-1]):
        features, state = network.step(ids[time], {name: value[:count] for name, value in state.items()})
        going_on = counts[time + 1]
        if going_on < count:
            joined = layout.concat({**state, "features": features, "log_normaliser": torch.zeros(count, 1)})
            rows = joined if together else _put(rows, order[going_on:count], joined[going_on:])
        before.append(features[:going_on])
    normalisers += _normalisers(network, before[1:-1])
    scores = network.score(torch.cat(ids), torch.cat(before)) - torch.cat(normalisers)
    # Rounded differently from the normaliser, the score of a certain token can come out above 0.
    return rows, _by_state(scores.clamp(max=0.0).tolist(), order, counts)


def _longest_first(tokens: Sequence[Sequence[int]]) -> tuple[list[int], list[Tensor]]:
    """Return the indices of the sequences, longest first, and for each timestep the tokens of those that have one."""
    order = sorted(range(len(tokens)), key=lambda index: -len(tokens[index]))
    in_order = [tokens[index] for index in order]
    steps = range(len(in_order[0]))
    return order, [torch.tensor([own[time] for own in in_order if len(own) > time]) for time in steps]


def _put(rows: Tensor, places: Sequence[int], values: Tensor) -> Tensor:
    rows[torch.tensor(places)] = values
    return rows


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
