"""Linear layers without initial weights: torch's random initialisation loads a compiler on the meta device."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from service.domain.operations import ComputeDtype
from service.nets.layers.packed_linear import Packable, PackedMatmul, RowScorer, pack


class Linear(Packable):
    """`nn.Linear` with the same parameter names, uninitialised."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs))
        self._product: PackedMatmul

    def pack(self, dtype: ComputeDtype) -> None:
        self._product = pack(self.weight, self.bias, dtype)
        del self.weight, self.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., I) -> (..., O)."""
        return self._product(x)


class EmbeddingTable(nn.Module):
    """The weight of an embedding or of a linear layer without bias; uninitialised."""

    def __init__(self, entries: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(entries, size))

    def embed(self, ids: Tensor) -> Tensor:
        """Return the rows of ids: (...) -> (..., size)."""
        return F.embedding(ids, self.weight)


class OneHot(nn.Module):
    """Unit vectors in place of an embedding; no parameters."""

    def __init__(self, entries: int) -> None:
        super().__init__()
        self._entries = entries

    def embed(self, ids: Tensor) -> Tensor:
        """Return the unit vectors of ids: (...) -> (..., entries)."""
        vectors = torch.zeros(*ids.shape, self._entries, device=ids.device)
        return vectors.scatter_(-1, ids[..., None], 1.0)


def make_embedding(vocabulary: int, size: int, *, one_hot: bool) -> EmbeddingTable | OneHot:
    """Create what turns the ids of a vocabulary into vectors of `size` numbers, uninitialised."""
    return OneHot(vocabulary) if one_hot else EmbeddingTable(vocabulary, size)


def tied_table(embedding: EmbeddingTable | OneHot, *, tied: bool) -> EmbeddingTable | None:
    """Return the embedding if an output layer shares its weight; unit vectors have none."""
    return embedding if tied and isinstance(embedding, EmbeddingTable) else None


class Output(Packable):
    """Output layer that maps features to a logit per vocabulary entry; the weight is its own, or that of `tied`."""

    def __init__(self, vocabulary: int, features: int, tied: EmbeddingTable | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocabulary, features)) if tied is None else None
        self.bias = nn.Parameter(torch.empty(vocabulary))
        self._tied = (tied,)  # in a tuple, so that it does not become a submodule
        self._product: PackedMatmul

    def pack(self, dtype: ComputeDtype) -> None:
        self._product = pack(self._matrix(), self.bias, dtype)
        del self.weight, self.bias

    def forward(self, features: Tensor) -> Tensor:
        """Return (..., F) -> (..., V)."""
        return self._product(features)

    def _matrix(self) -> Tensor:
        (tied,) = self._tied
        matrix = self.weight if tied is None else tied.weight
        assert matrix is not None  # noqa: S101 one of the two exists; this is for the type checker
        return matrix


class ScoringOutput(Output):
    """Output layer that also computes single logits, from the same rounded weights."""

    def __init__(self, vocabulary: int, features: int, tied: EmbeddingTable | None) -> None:
        super().__init__(vocabulary, features, tied)
        self._rows: RowScorer

    def pack(self, dtype: ComputeDtype) -> None:
        weight, bias = self._matrix(), self.bias
        super().pack(dtype)
        self._rows = RowScorer(self._product, weight, bias, dtype)

    def score(self, ids: Tensor, features: Tensor) -> Tensor:
        """Return the logit of one entry per row: ids (B,), features (B, F) -> (B,)."""
        return self._rows(ids, features)
