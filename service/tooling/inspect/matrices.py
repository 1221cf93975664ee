"""Embeddings and linear layers of a checkpoint: two-dimensional weights beside the recurrent layers."""

from collections.abc import Mapping

from torch import Tensor

from service.tooling.inspect.inventory import Matrix
from service.tooling.inspect.recurrent_layers import RecurrentGroup

#: Parts of the names of embeddings.
EMBEDDING_WORDS = ("emb", "lookup", "lut")
#: Parts of the names of an attention, whose vector of scores may be saved as a column: it is no layer of one input.
ATTENTION_WORDS = ("att", "align", "score")


def find_matrices(tensors: Mapping[str, Tensor], groups: tuple[RecurrentGroup, ...]) -> tuple[Matrix, ...]:
    """Return the embeddings and linear layers in the order of the file."""
    recurrent = {name for group in groups for name in group.names}
    others = {name: tensor for name, tensor in tensors.items() if name not in recurrent}
    weights = {name: tensor for name, tensor in others.items() if _is_weight(name, tensor, tensors)}
    biases = {name: _bias_of(name, tensor, tensors) for name, tensor in weights.items()}
    embeddings = _embeddings(weights, biases, groups)
    return tuple(
        Matrix(name, name in embeddings, tensor.shape[0], tensor.shape[1], biases[name])
        for name, tensor in weights.items()
    )


def _is_weight(name: str, tensor: Tensor, tensors: Mapping[str, Tensor]) -> bool:
    if tensor.dim() != 2 or not name.endswith("weight"):
        return False
    is_column = tensor.shape[1] == 1 < tensor.shape[0] and _bias_of(name, tensor, tensors) is None
    return not (is_column and any(word in name.lower() for word in ATTENTION_WORDS))


def _embeddings(
    weights: Mapping[str, Tensor], biases: Mapping[str, str | None], groups: tuple[RecurrentGroup, ...]
) -> set[str]:
    """Return the weights that are embeddings, by their names or else by the shape of the first one."""
    candidates = {name for name in weights if biases[name] is None}
    named = {name for name in candidates if _called_embedding(name)}
    if not named and _starts_with_table(weights, {group.input_size for group in groups}):
        return {next(iter(weights))} & candidates
    return named


def _bias_of(name: str, weight: Tensor, tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of the bias that fits a weight, if there is one."""
    bias = f"{name.removesuffix('weight')}bias"
    return bias if bias in tensors and tensors[bias].shape == weight.shape[:1] else None


def _called_embedding(name: str) -> bool:
    return any(word in name.lower() for word in EMBEDDING_WORDS)


def _starts_with_table(weights: Mapping[str, Tensor], input_sizes: set[int]) -> bool:
    """Return whether the first weight is as wide as a recurrent input, and high or as high as an output layer."""
    shapes = [(weight.shape[0], weight.shape[1]) for weight in weights.values()]
    if not shapes:
        return False
    rows, columns = shapes[0]
    answered = any(other == rows for other, _ in shapes[1:])
    return columns in input_sizes and (rows > columns or answered)
