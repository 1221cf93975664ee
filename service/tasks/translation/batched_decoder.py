"""Batched forward passes of an encoder-decoder: encoding of sources, and decoder timesteps of many searches."""

from collections import defaultdict
from itertools import chain
from operator import itemgetter

import torch
from torch import Tensor

from service.nets.layers.attention import EncoderMemory, gather
from service.nets.models.encoder_decoder import EncoderDecoder
from service.tasks.state_layout import StateLayout
from service.tasks.translation.beam_search import DecoderOutput
from service.tasks.translation.operations import ActiveSearch, EncodedSource


class BatchedDecoder:
    """Runs an encoder-decoder for many sources or searches at once; `layout` is that of a decoder state in one row."""

    def __init__(self, network: EncoderDecoder, layout: StateLayout) -> None:
        self._network = network
        self._layout = layout

    def encode(self, sources: list[tuple[int, ...]]) -> list[EncodedSource]:
        """Encode sources, given as token ids. Sources of one length form a batch, so that none is padded."""
        by_length: dict[int, list[int]] = defaultdict(list)
        for index, source in enumerate(sources):
            by_length[len(source)].append(index)
        encoded: dict[int, EncodedSource] = {}
        for indices in by_length.values():
            memory, state = self._network.encode(torch.tensor([sources[index] for index in indices]))
            rows = self._layout.concat(state)
            for row, index in enumerate(indices):
                # Copies, since slices would keep the whole batch in memory.
                own_memory = EncoderMemory(*(tensor[row : row + 1].clone() for tensor in memory))
                encoded[index] = EncodedSource(own_memory, rows[row].clone())
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
        searches = [*chain.from_iterable(groups)]
        counts = [len(active.search.ids) for active in searches]
        ids = torch.tensor([*chain.from_iterable(active.search.ids for active in searches)])
        states = self._layout.split(torch.cat([active.search.state for active in searches]))
        group_rows = [sum(len(active.search.ids) for active in group) for group in groups]
        decoded = self._network.step(ids, states, gather([group[0].memory for group in groups]), group_rows)
        logprobs = torch.split(self._network.logits(decoded.features).log_softmax(-1), counts)
        new_states = torch.split(self._layout.concat(decoded.state), counts)
        weights = [None] * len(counts) if decoded.weights is None else torch.split(decoded.weights, counts)
        outputs = zip(searches, logprobs, new_states, weights, strict=True)
        return [
            DecoderOutput(own_logprobs, own_state, _without_padding(own_weights, active))
            for active, own_logprobs, own_state, own_weights in outputs
        ]


def _without_padding(weights: Tensor | None, active: ActiveSearch) -> Tensor | None:
    """Return the attention weights over the source of one search, without the padding of the batch."""
    return None if weights is None else weights[:, : active.memory.real.shape[1]]


def _group_by_memory(searches: list[ActiveSearch]) -> list[list[int]]:
    """Return the indices of the searches, grouped by their memory."""
    by_memory: dict[int, list[int]] = defaultdict(list)
    for index, active in enumerate(searches):
        by_memory[id(active.memory)].append(index)
    return [*by_memory.values()]
