"""Global attention of a decoder over the outputs of an encoder, as a function of queries and memory.

The score of a query d and an encoder output m is one of these. `dot`, d . m, and `general`, d . (W m): M.-T. Luong,
H. Pham and C. D. Manning, "Effective approaches to attention-based neural machine translation" (EMNLP 2015).
`additive`, v . tanh(W d + b + U m): D. Bahdanau, K. Cho and Y. Bengio, "Neural machine translation by jointly learning
to align and translate" (ICLR 2015). The keys depend on the memory alone and are computed once per source.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from service.nets.layers.dense import EmbeddingTable, Linear


class EncoderMemory(NamedTuple):
    """Encoder outputs of N sources: values (N, S, M), keys (N, S, K), and a mask of the real positions (N, S)."""

    values: Tensor
    keys: Tensor
    real: Tensor


def gather(memories: list[EncoderMemory]) -> EncoderMemory:
    """Concatenate memories of different lengths, padded to the longest; the mask excludes the padding."""
    if len(memories) == 1:
        return memories[0]
    return EncoderMemory(*(_padded(tensors) for tensors in zip(*memories, strict=True)))


def _padded(tensors: Sequence[Tensor]) -> Tensor:
    """Concatenate tensors (N, S, ...) with zeros behind the shorter ones."""
    rows = [row for tensor in tensors for row in tensor.unbind(0)]
    return pad_sequence(rows, batch_first=True)


class Attention(nn.Module):
    """Attention over the real source positions of each query. The base class is `dot`, which has no parameters."""

    def keys(self, values: Tensor) -> Tensor:
        """Return the keys that queries are compared with: (N, S, M) -> (N, S, K)."""
        return values

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Return the scores of queries and keys: (N, Q, D), (N, S, K) -> (N, Q, S)."""
        return queries @ keys.transpose(1, 2)

    def forward(self, queries: Tensor, memory: EncoderMemory) -> tuple[Tensor, Tensor]:
        """Return context vectors (N, Q, M) and attention weights (N, Q, S), zero at padded positions."""
        scores = self.scores(queries, memory.keys).float().masked_fill(~memory.real[:, None], -torch.inf)
        weights = scores.softmax(-1)
        return weights.to(memory.values.dtype) @ memory.values, weights


class General(Attention):
    """`general` attention (Luong et al., 2015). Parameter: `weight` (D, M)."""

    def __init__(self, query: int, memory: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(query, memory))

    def keys(self, values: Tensor) -> Tensor:
        return F.linear(values, self.weight)


class Additive(Attention):
    """`additive` attention (Bahdanau et al., 2015), with as many hidden units as a query has numbers, D.

    Parameters: `query.weight` (D, D) and `query.bias` (D,), `memory.weight` (D, M), `score.weight` (1, D).
    """

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


class Fixed(Attention):
    """Attention over the first `length` positions of any source, by a linear layer over the query alone.

    Positions behind the source count in the softmax, and have a memory of zeros. Parameters: `score.weight`
    (length, D) and `score.bias`. It is that of PyTorch's older translation tutorial.
    """

    def __init__(self, query: int, length: int) -> None:
        super().__init__()
        self.score = Linear(query, length)

    def forward(self, queries: Tensor, memory: EncoderMemory) -> tuple[Tensor, Tensor]:
        weights = self.score(queries).softmax(-1)[..., : memory.values.shape[1]]
        weights = F.pad(weights, (0, memory.values.shape[1] - weights.shape[-1])).masked_fill(~memory.real[:, None], 0)
        return weights @ memory.values, weights


def make_attention(kind: str | None, query: int, memory: int, length: int = 0) -> Attention | None:
    """Create the attention that config.json names, for decoder outputs and memory of the given widths."""
    if kind == "fixed":
        return Fixed(query, length)
    if kind is None:
        return None
    if kind == "dot":
        return Attention()
    return General(query, memory) if kind == "general" else Additive(query, memory)
