"""Feeding of tokens to many states at once, each with its own number of tokens."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from service.tasks.state_layout import StateLayout

State = dict[str, Tensor]
#: Rows of logits that are computed at a time where only their normalisers are needed; this bounds the memory.
LOGIT_ROWS = 64


class LanguageNetwork(Protocol):
    """The part of a language model that feeding uses, for instance of `LanguageModel`. State: name -> (B, size)."""

    def step(self, ids: Tensor, state: State) -> tuple[Tensor, State]: ...
    def features_of(self, state: State) -> Tensor: ...
    def logits(self, features: Tensor) -> Tensor: ...
    def score(self, ids: Tensor, features: Tensor) -> Tensor: ...


def feed(
    network: LanguageNetwork, layout: StateLayout, tokens: Sequence[Sequence[int]], rows: Tensor
) -> tuple[Tensor, list[list[float]]]:
    """Feed each state its tokens, timestep by timestep, and score all tokens together at the end.

    Args:
        tokens: the token ids of each state; a sequence may be empty.
        rows: the states (B, total). They may be overwritten.

    Returns:
        The new states (B, total), whose `log_normaliser` is 0 where tokens were fed, and the log-probabilities of the
        tokens of each state.
    """
    if not any(tokens):
        return rows, [[] for _ in tokens]
    order, ids = _longest_first(tokens)
    counts = [*map(len, ids), 0]
    # If all states take the same number of tokens, they stay in their order and need not be copied.
    equal_lengths = counts[-2] == len(tokens)
    state = layout.split(rows if equal_lengths else rows[order])
    features_before = [network.features_of(state)[: counts[0]]]
    normalisers = [state["log_normaliser"][: counts[0], 0]]
    for timestep, count in enumerate(counts[:-1]):
        features, state = network.step(ids[timestep], {name: value[:count] for name, value in state.items()})
        remaining = counts[timestep + 1]
        if remaining < count:
            new_rows = layout.concat({**state, "features": features, "log_normaliser": torch.zeros(count, 1)})
            rows = new_rows if equal_lengths else _assign(rows, order[remaining:count], new_rows[remaining:])
        features_before.append(features[:remaining])
    normalisers += normalisers_of(network, features_before[1:-1])
    scores = network.score(torch.cat(ids), torch.cat(features_before)) - torch.cat(normalisers)
    # Score and normaliser are rounded differently, so that the score of a certain token can be slightly above 0.
    return rows, _by_state(scores.clamp(max=0.0).tolist(), order, counts)


def _longest_first(tokens: Sequence[Sequence[int]]) -> tuple[list[int], list[Tensor]]:
    """Return the indices of the sequences, longest first, and for each timestep the tokens of those that have one."""
    order = sorted(range(len(tokens)), key=lambda index: -len(tokens[index]))
    ordered = [tokens[index] for index in order]
    timesteps = range(len(ordered[0]))
    return order, [torch.tensor([ids[timestep] for ids in ordered if len(ids) > timestep]) for timestep in timesteps]


def _assign(rows: Tensor, indices: Sequence[int], values: Tensor) -> Tensor:
    """Overwrite the rows at `indices` and return all rows."""
    rows[torch.tensor(indices)] = values
    return rows


def normalisers_of(network: LanguageNetwork, features: Sequence[Tensor]) -> list[Tensor]:
    """Return log(sum(exp(logits))), (n,), for each tensor of features (n, D)."""
    if not any(map(len, features)):
        return [tensor.new_zeros(0) for tensor in features]
    chunks = torch.split(torch.cat([*features]), LOGIT_ROWS)
    normalisers = torch.cat([network.logits(chunk).logsumexp(-1) for chunk in chunks])
    return [*torch.split(normalisers, [len(tensor) for tensor in features])]


def _by_state(scores: list[float], order: Sequence[int], counts: Sequence[int]) -> list[list[float]]:
    """Return the scores of each state; `scores` has those of the `count` first states of `order` per timestep."""
    by_state: list[list[float]] = [[] for _ in order]
    start = 0
    for count in counts:
        for index, score in zip(order[:count], scores[start : start + count], strict=True):
            by_state[index].append(score)
        start += count
    return by_state
