"""Batched forward passes of an encoder-decoder: encoding of sources, and decoder timesteps of many searches."""

from collections import defaultdict
from itertools import accumulate, chain, groupby, pairwise
from operator import itemgetter

import torch
from torch import Tensor

from service.nets.layers.attention import EncoderMemory, gather
from service.nets.models.encoder_decoder import EncoderDecoder
from service.tasks.state_layout import StateLayout
from service.tasks.translation.decoding.beam_search import BeamSearch, DecoderOutput, Search
from service.tasks.translation.decoding.candidate_ranking import rank_candidates
from service.tasks.translation.operations import ActiveSearch, EncodedSource


class BatchedDecoder:
    """Runs an encoder-decoder for many sources or searches at once; `layout` is that of a decoder state in one row."""

    def __init__(self, network: EncoderDecoder, layout: StateLayout) -> None:
        self._network = network
        self._layout = layout

    def encode(self, sources: list[tuple[int, ...]]) -> list[EncodedSource]:
        """Encode sources, given as token ids. Sources of any length form one batch, in which none is padded."""
        if not sources:
            return []
        order = sorted(range(len(sources)), key=lambda index: -len(sources[index]))
        ordered = [sources[index] for index in order]
        counts = [sum(len(source) > timestep for source in ordered) for timestep in range(len(ordered[0]))]
        ids = [source[timestep] for timestep, count in enumerate(counts) for source in ordered[:count]]
        values, keys, first = self._network.encode_packed(torch.tensor(ids), counts)
        states, starts = self._layout.concat(first), torch.tensor([*accumulate(counts[:-1], initial=0)])
        encoded: dict[int, EncodedSource] = {}
        for row, index in enumerate(order):
            positions = starts[: len(sources[index])] + row
            real = torch.ones(1, len(positions), dtype=torch.bool)
            memory = EncoderMemory(values[positions][None], keys[positions][None], real)
            # A copy, since a slice would keep the whole batch in memory.
            encoded[index] = EncodedSource(memory, states[row].clone())
        return [encoded[index] for index in range(len(sources))]

    def decode(self, searches: list[ActiveSearch]) -> list[DecoderOutput]:
        """Run one decoder timestep over the hypotheses of all searches and return one output for each search."""
        if not searches:
            return []
        groups = _group_by_memory(searches)
        order = [index for group in groups for index in group]
        outputs = self._step([[searches[index] for index in group] for group in groups])
        return [output for _, output in sorted(zip(order, outputs, strict=True), key=itemgetter(0))]

    def _step(self, groups: list[list[ActiveSearch]]) -> list[DecoderOutput]:
        """Run one decoder timestep over groups of searches, where the searches of a group share one memory."""
        active = [*chain.from_iterable(groups)]
        searches = [item.search for item in active]
        ids = torch.tensor([*chain.from_iterable(search.ids for search in searches)])
        group_rows = [sum(len(item.search.ids) for item in group) for group in groups]
        memory = gather([group[0].memory for group in groups])
        decoded = self._network.step(ids, self._layout.split(_select_states(searches)), memory, group_rows)
        logprobs, state = self._network.logits(decoded.features).log_softmax(-1), self._layout.concat(decoded.state)
        bounds = [*pairwise(accumulate((len(search.ids) for search in searches), initial=0))]
        beams = {
            start: search for (start, _), search in zip(bounds, searches, strict=True) if isinstance(search, BeamSearch)
        }
        ranked = rank_candidates(beams, logprobs)
        return [
            DecoderOutput(
                logprobs[start:stop], state, start, ranked.get(start, []), _attention(item, decoded.weights, start)
            )
            for item, (start, stop) in zip(active, bounds, strict=True)
        ]


def _select_states(searches: list[Search]) -> Tensor:
    """Return the states (R, total) that the searches are fed from; adjacent searches mostly share one tensor."""
    parts = []
    for _, run in groupby(searches, key=lambda search: id(search.state)):
        adjacent = [*run]
        rows = [*chain.from_iterable(search.rows for search in adjacent)]
        parts.append(adjacent[0].state.index_select(0, torch.tensor(rows)))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _attention(active: ActiveSearch, weights: Tensor | None, start: int) -> Tensor | None:
    """Return a copy of the attention weights of a search's rows over its own source, None if it keeps none."""
    search = active.search
    if weights is None or not isinstance(search, BeamSearch) or not search.keep_attention:
        return None
    return weights[start : start + len(search.ids), : active.memory.real.shape[1]].clone()


def _group_by_memory(searches: list[ActiveSearch]) -> list[list[int]]:
    """Return the indices of the searches, grouped by their memory."""
    by_memory: dict[int, list[int]] = defaultdict(list)
    for index, active in enumerate(searches):
        by_memory[id(active.memory)].append(index)
    return [*by_memory.values()]
