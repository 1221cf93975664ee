"""The forward passes of an encoder-decoder: sources read, and one decoder step for many searches at once."""

from collections import defaultdict
from itertools import accumulate, pairwise

import torch

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
            rows = self._layout.join(state)
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
        order = [at for group in groups for at in group]
        in_turn = [searches[at] for at in order]
        ids = torch.tensor([piece for placed in in_turn for piece in placed.search.ids])
        states = self._layout.cut(torch.cat([placed.search.state for placed in in_turn]))
        memory = gather([searches[group[0]].memory for group in groups])
        rows = [sum(len(searches[at].search.ids) for at in group) for group in groups]
        decoded = self._network.step(ids, states, memory, rows)
        logprobs = self._network.logits(decoded.features).log_softmax(-1)
        after = self._layout.join(decoded.state)
        bounds = accumulate((len(placed.search.ids) for placed in in_turn), initial=0)
        found: dict[int, DecoderOutput] = {}
        for at, (start, end) in zip(order, pairwise(bounds), strict=True):
            positions = searches[at].memory.real.shape[1]
            weights = None if decoded.weights is None else decoded.weights[start:end, :positions]
            found[at] = DecoderOutput(logprobs[start:end], after[start:end], weights)
        return [found[at] for at in range(len(searches))]


def _sharing_memory(searches: list[Placed]) -> list[list[int]]:
    """Return the places of the searches, those with one memory together."""
    by_memory: dict[int, list[int]] = defaultdict(list)
    for at, placed in enumerate(searches):
        by_memory[id(placed.memory)].append(at)
    return [*by_memory.values()]
