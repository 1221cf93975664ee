"""Feeding of tokens to many windows at once: the window before each token is known, so one pass reads all of them."""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

from service.nets.models.window import unroll, values_before
from service.tasks.next_word.feeding import LanguageNetwork, normalisers_of
from service.tasks.state_layout import StateLayout


def feed_windows(
    network: LanguageNetwork, layout: StateLayout, tokens: Sequence[Sequence[int]], rows: Tensor
) -> tuple[Tensor, list[list[float]]]:
    """Feed each state its tokens and score all tokens, as `feed` does, with a network that reads windows."""
    counts = [*map(len, tokens)]
    fed = [index for index, count in enumerate(counts) if count]
    if not fed:
        return rows, [[] for _ in tokens]
    ids, state = torch.tensor([*chain.from_iterable(tokens)]), layout.split(rows)
    features, after = network.step(ids, unroll(state, ids[:, None], counts))
    # The features after all tokens but the last one of each state.
    inner = [part[:-1] for part in torch.split(features, counts)]
    features_before = values_before(network.features_of(state), inner, counts)
    normalisers = values_before(state["log_normaliser"][:, 0], normalisers_of(network, inner), counts)
    # Score and normaliser are rounded differently, so that the score of a certain token can be slightly above 0.
    logprobs = (network.score(ids, features_before) - normalisers).clamp(max=0.0)
    last = torch.tensor(counts).cumsum(0)[fed] - 1
    final = {name: tensor[last] for name, tensor in {**after, "features": features}.items()}
    rows[fed] = layout.concat({**final, "log_normaliser": torch.zeros(len(fed), 1)})
    return rows, [part.tolist() for part in torch.split(logprobs, counts)]
