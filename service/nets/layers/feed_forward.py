"""Feed-forward layers as config.json lists them: linear layers, normalisations and activations."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from service.domain.operations import ComputeDtype
from service.nets.config.feed_forward import FeedForwardConfig
from service.nets.layers.activations import make_activation
from service.nets.layers.dense import Linear
from service.nets.layers.packed_linear import Packable


class BatchNorm(Packable):
    """Batch normalisation with the statistics of training: one factor and one summand for each number.

    Parameters as of `nn.BatchNorm1d`: `weight`, `bias`, `running_mean`, `running_var`, each (size,).
    """

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_parameter(name, nn.Parameter(torch.empty(size)))
        self._eps = eps
        self._factor: Tensor
        self._summand: Tensor

    def pack(self, dtype: ComputeDtype) -> None:  # noqa: ARG002 - float32 in every compute dtype
        weight, bias, mean, variance = (self._parameters.pop(name) for name in [*self._parameters])
        assert weight is not None and bias is not None and mean is not None and variance is not None  # noqa: S101, PT018 for the type checker
        factor = weight.double() / (variance.double().clamp(min=0) + self._eps).sqrt()
        self._factor, self._summand = factor.float(), (bias.double() - mean.double() * factor).float()

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., size) -> (..., size)."""
        return x * self._factor + self._summand


class FeedForward(nn.ModuleList):
    """Feed-forward layers over `inputs` numbers. The parameters of entry i are `{i}.weight`, `{i}.bias`, ..."""

    def __init__(self, inputs: int, layers: Iterable[FeedForwardConfig]) -> None:
        super().__init__()
        self._activations = []
        width = inputs
        for layer in layers:
            self.append(_make_layer(layer, width))
            self._activations.append(make_activation(layer.activation, layer.alpha))
            width = layer.size or width

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., I) -> (..., O)."""
        for layer, activation in zip(self, self._activations, strict=True):
            x = activation(layer(x))
        return x


def _make_layer(layer: FeedForwardConfig, width: int) -> nn.Module:
    if layer.size is not None:
        return Linear(width, layer.size)
    if layer.layer_norm:
        return nn.LayerNorm(width, layer.eps)
    return BatchNorm(width, layer.eps) if layer.batch_norm else nn.Identity()
