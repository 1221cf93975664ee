"""Global attention over what an encoder remembers, as a function of queries and memory.

`dot`, d . m, and `general`, d . (W m): M.-T. Luong, H. Pham and C. D. Manning, "Effective approaches to
attention-based neural machine translation" (EMNLP 2015). `additive`, v . tanh(W d + b + U m): D. Bahdanau, K. Cho and
Y. Bengio, "Neural machine translation by jointly learning to align and translate" (ICLR 2015). The keys, what the
memory contributes, are computed once per source.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from service.nets.layers.dense import EmbeddingTable, Linear


class EncoderMemory(NamedTuple):
    """What N sources left behind: values (N, S, M), keys (N, S, K), and which positions are real (N, S)."""

    values: Tensor
    keys: Tensor
    real: Tensor


def gather(memories: list[EncoderMemory]) -> EncoderMemory:
    """Put memories of different lengths together, padded to the longest; what is padded is not real."""
    if len(memories) == 1:
        return memories[0]
    longest = max(memory.values.shape[1] for memory in memories)

    def padded(tensor: Tensor, dimensions: int) -> Tensor:
        spare = longest - tensor.shape[1]
        return F.pad(tensor, [0, 0] * dimensions + [0, spare]) if spare else tensor

    return EncoderMemory(
        torch.cat([padded(memory.values, 1) for memory in memories]),
        torch.cat([padded(memory.keys, 1) for memory in memories]),
        torch.cat([padded(memory.real, 0) for memory in memories]),
    )


class Attention(nn.Module):
    """Weights every real source position for every query; the base is `dot`, which has no parameters."""

    def keys(self, values: Tensor) -> Tensor:
        """Return what queries are compared with: (N, S, M) -> (N, S, K)."""
        return values

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Return (N, Q, D), (N, S, K) -> (N, Q, S)."""
        return queries @ keys.transpose(1, 2)

    def forward(self, queries: Tensor, memory: EncoderMemory) -> tuple[Tensor, Tensor]:
        """Return the attended values (N, Q, M) and their weights (N, Q, S), zero where nothing is real."""
        scores = self.scores(queries, memory.keys).float().masked_fill(~memory.real[:, None], -torch.inf)
        weights = scores.softmax(-1)
        return weights.to(memory.values.dtype) @ memory.values, weights


class General(Attention):
    """Parameter: `weight` (D, M)."""

    def __init__(self, query: int, memory: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(query, memory))

    def keys(self, values: Tensor) -> Tensor:
        return F.linear(values, self.weight)


class Additive(Attention):
    """Parameters, of as many units as a query has: `query.weight/bias`, `memory.weight`, `score.weight` (1, units)."""

    def __init__(self, query: int, memory: int) -> None:
        super().__init__()
        self.query = Linear(query, query)
        self.memory = EmbeddingTable(query, memory)
        self.score = EmbeddingTable(1, query)

    def keys(self, values: Tensor) -> Tensor:
        return F.linear(values, self.memory.weight)

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        hidden = torch.tanh(self.query(queries)[:, :, None] + keys[:, None])
        return F.linear(hidden, self.score.weight).squeeze(-1)


def make_attention(kind: str | None, query: int, memory: int) -> Attention | None:
    """Return the attention of config.json for decoder outputs of width `query` and memory of width `memory`."""
    if kind is None:
        return None
    return Attention() if kind == "dot" else (General if kind == "general" else Additive)(query, memory)
