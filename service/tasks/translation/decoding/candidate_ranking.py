"""Ranking of the candidates of many beam searches at once."""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from service.nets.largest import largest
from service.tasks.translation.decoding.beam_search import BeamSearch, Candidate


def rank_candidates(beams: Mapping[int, BeamSearch], logprobs: Tensor) -> dict[int, list[Candidate]]:
    """Return the best continuations of the hypotheses of each beam search, best first, at most twice its size.

    Args:
        beams: the searches by the index of their first row, in ascending order.
        logprobs: the log-probabilities (R, V) of all rows. The masks of the searches are added to their rows.
    """
    _add_masks(beams, logprobs)
    ranked: dict[int, list[Candidate]] = {}
    for size in {beam.size for beam in beams.values()}:
        same_size = {start: beam for start, beam in beams.items() if beam.size == size}
        ranked.update(zip(same_size, _rank(same_size, logprobs, 2 * size), strict=True))
    return ranked


def _add_masks(beams: Mapping[int, BeamSearch], logprobs: Tensor) -> None:
    """Add the mask of each search to its rows. Adjacent searches with the same mask share one addition."""
    slices: list[tuple[int, int, Tensor]] = []
    for start, beam in beams.items():
        first = start
        if slices and slices[-1][1] == start and slices[-1][2] is beam.mask:
            first, _, _ = slices.pop()
        slices.append((first, start + len(beam.ids), beam.mask))
    for first, stop, mask in slices:
        logprobs[first:stop] += mask


def _rank(beams: Mapping[int, BeamSearch], logprobs: Tensor, count: int) -> list[list[Candidate]]:
    """Return the `count` best candidates of each of N searches of one size."""
    counts = np.array([len(beam.ids) for beam in beams.values()])
    owners, starts = np.repeat(np.arange(len(counts)), counts), np.array([*beams])
    slots = np.arange(len(owners)) - np.repeat(counts.cumsum() - counts, counts)
    own = logprobs if len(owners) == len(logprobs) else logprobs[torch.from_numpy(starts[owners] + slots)]
    best, pieces = largest(own, min(count, logprobs.shape[1]))
    before = np.concatenate([beam.logprobs() for beam in beams.values()])
    # Tables (N, hypotheses, best pieces); a search with fewer hypotheses than another gets impossible ones.
    totals = np.full((len(counts), counts.max(), best.shape[1]), -np.inf)
    totals[owners, slots] = best.double().numpy() + before[:, None]
    ids = np.zeros(totals.shape, dtype=np.int64)
    ids[owners, slots] = pieces.numpy()
    flat_totals, flat_ids = totals.reshape(len(counts), -1), ids.reshape(len(counts), -1)
    order = np.argsort(-flat_totals, axis=1, kind="stable")[:, :count]
    columns = (
        np.take_along_axis(flat_totals, order, 1).tolist(),
        (order // best.shape[1]).tolist(),
        np.take_along_axis(flat_ids, order, 1).tolist(),
    )
    return [_possible(zip(*own_columns, strict=True)) for own_columns in zip(*columns, strict=True)]


def _possible(candidates: Iterable[Candidate]) -> list[Candidate]:
    return [candidate for candidate in candidates if candidate[0] > -np.inf]
