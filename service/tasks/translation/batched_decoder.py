"""The forward passes of an encoder-decoder: sources read, and one decoder step for many searches at once."""

from collections import defaultdict
from itertools import chain
from operator import itemgetter

import torch
from torch import Tensor

from service.nets.layers.attention import EncoderMemory, gather
from service.nets.models.encoder_decoder import EncoderDecoder
from service.tasks.state_layout import StateLayout
from service.tasks.translation.beam_search import DecoderOutput
from service.tasks.translation.operations import Placed, Read


class BatchedDecoder:
    """Runs the network over what is due; `layout` says how a decoder state stands in one row."""

    def __init__(self, network: EncoderDecoder, layout: StateLayout) -> None:
        self._network = network
        self._layout = layout

    def read(self, sources: list[tuple[int, ...]]) -> list[Read]:
        """Encode sources, those of one length together: nothing is padded, so none touches another."""
        by_length: dict[int, list[int]] = defaultdict(list)
        for at, source in enumerate(sources):
            by_length[len(source)].append(at)
        found: dict[int, Read] = {}
        for places in by_length.values():
            memory, state = self._network.encode(torch.tensor([sources[at] for at in places]))
            rows = self._layout.concat(state)
            for row, at in enumerate(places):
                # Copies, since a slice would keep the whole group alive.
                own = EncoderMemory(*(tensor[row : row + 1].clone() for tensor in memory))
                found[at] = Read(own, rows[row].clone())
        return [found[at] for at in range(len(sources))]

    def look(self, searches: list[Placed]) -> list[DecoderOutput]:
        """Run one decoder step over the hypotheses of all searches."""
        if not searches:
            return []
        groups = _sharing_memory(searches)
        order = [index for group in groups for index in group]
        outputs = self._step([[searches[index] for index in group] for group in groups])
        return [output for _, output in sorted(zip(order, outputs, strict=True), key=itemgetter(0))]

    def _step(self, groups: list[list[Placed]]) -> list[DecoderOutput]:
        """Run one decoder step over groups of searches, each group with one memory; outputs in the order given."""
        searches = [*chain.from_iterable(groups)]
        counts = [len(placed.search.ids) for placed in searches]
        ids = torch.tensor([*chain.from_iterable(placed.search.ids for placed in searches)])
        states = self._layout.split(torch.cat([placed.search.state for placed in searches]))
        rows = [sum(len(placed.search.ids) for placed in group) for group in groups]
        decoded = self._network.step(ids, states, gather([group[0].memory for group in groups]), rows)
        logprobs = torch.split(self._network.logits(decoded.features).log_softmax(-1), counts)
        after = torch.split(self._layout.concat(decoded.state), counts)
        weights = [None] * len(counts) if decoded.weights is None else torch.split(decoded.weights, counts)
        return [
            DecoderOutput(own_logprobs, own_state, _own_positions(own_weights, placed))
            for placed, own_logprobs, own_state, own_weights in zip(searches, logprobs, after, weights, strict=True)
        ]


def _own_positions(weights: Tensor | None, placed: Placed) -> Tensor | None:
    """Return attention weights over the source of one search, without the padding of the batch."""
    return None if weights is None else weights[:, : placed.memory.real.shape[1]]


def _sharing_memory(searches: list[Placed]) -> list[list[int]]:
    """Return the places of the searches, those with one memory together."""
    by_memory: dict[int, list[int]] = defaultdict(list)
    for at, placed in enumerate(searches):
        by_memory[id(placed.memory)].append(at)
    return [*by_memory.values()]
