"""Choice of the next tokens of a batch, together with the normalisers of its logits."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.tasks.next_word.sampling import Logits, Sampler, draw_plain_tokens, draw_tokens, most_probable_tokens


def choose_tokens(
    samplers: Sequence[Sampler | None], logits: Tensor, forbidden: NDArray[np.int64]
) -> tuple[list[int | None], Tensor]:
    """Return the next token of each row of `logits` (B, V) that has a sampler, and the normalisers (B,) of all rows.

    An id of `forbidden` is never chosen.
    """
    plain, greedy, others, rest = _group(samplers, logits.shape[1])
    ids: list[int | None] = [None] * len(samplers)
    normalisers = torch.empty(len(samplers)) if plain else logits.logsumexp(-1)
    if plain:
        chosen, own = draw_plain_tokens([*plain.values()], _copy(logits, [*plain]), forbidden)
        normalisers[[*plain]] = torch.from_numpy(own).float()
        _assign(ids, [*plain], chosen)
        remaining = [*greedy, *others, *rest]
        normalisers[remaining] = logits[remaining].logsumexp(-1)
    if greedy:
        _assign(ids, greedy, most_probable_tokens(_copy(logits, greedy), forbidden))
    if others:
        _assign(ids, [*others], draw_tokens([*others.values()], _copy(logits, [*others]), forbidden))
    return ids, normalisers


def _group(
    samplers: Sequence[Sampler | None], vocabulary: int
) -> tuple[dict[int, Sampler], list[int], dict[int, Sampler], list[int]]:
    """Return the rows with plain samplers, with greedy ones, with others, and those without a sampler."""
    plain: dict[int, Sampler] = {}
    others: dict[int, Sampler] = {}
    greedy: list[int] = []
    rest: list[int] = []
    for row, sampler in enumerate(samplers):
        if sampler is None:
            rest.append(row)
        elif sampler.greedy:
            greedy.append(row)
        else:
            (plain if sampler.is_plain(vocabulary) else others)[row] = sampler
    return plain, greedy, others, rest


def _copy(logits: Tensor, rows: list[int]) -> Logits:
    """Return a copy of some rows of `logits` (B, V)."""
    array: Logits = logits.numpy()
    return array.copy() if len(rows) == len(array) else array[rows]


def _assign(ids: list[int | None], rows: list[int], chosen: list[int]) -> None:
    for row, index in zip(rows, chosen, strict=True):
        ids[row] = index
