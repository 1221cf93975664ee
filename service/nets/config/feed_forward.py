"""Feed-forward layers in config.json: linear layers, activations and normalisations, one behind the other."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, model_validator

from service.nets.config.strict_model import StrictModel

Size = Annotated[int, Field(ge=1, le=2**24)]
#: `hard_sigmoid` is clip(x / 6 + 1/2, 0, 1), as in PyTorch and Keras 3, and `hard_sigmoid_legacy` is
#: clip(x / 5 + 1/2, 0, 1), as in Keras 1 and 2. `linear` is another name of `none`, and `swish` of `silu`.
Activation = Literal[
    "none",
    "linear",
    "tanh",
    "relu",
    "relu6",
    "sigmoid",
    "hard_sigmoid",
    "hard_sigmoid_legacy",
    "hard_tanh",
    "hard_swish",
    "gelu",
    "gelu_tanh",
    "elu",
    "selu",
    "leaky_relu",
    "softplus",
    "softsign",
    "silu",
    "swish",
    "mish",
    "exp",
]
#: The activations with a parameter, `alpha`, and its default: the slope or the scale of negative numbers.
ALPHAS: dict[str, float] = {"leaky_relu": 0.01, "elu": 1.0}


class LinearConfig(StrictModel):
    """A linear layer and its activation."""

    size: Size
    activation: Activation = "none"


class FeedForwardConfig(StrictModel):
    """A linear layer or a normalisation, followed by an activation; or an activation alone."""

    size: Size | None = None
    layer_norm: bool = False
    batch_norm: bool = False
    activation: Activation = "none"
    alpha: Annotated[float, Field(ge=0, le=100)] | None = None
    #: What a normalisation adds to the variance.
    eps: Annotated[float, Field(gt=0, le=1)] = 1e-5

    @property
    def normalizes(self) -> bool:
        """Whether the entry is a normalisation."""
        return self.layer_norm or self.batch_norm

    @model_validator(mode="after")
    def _check_kind(self) -> "FeedForwardConfig":
        if (self.size is not None) + self.layer_norm + self.batch_norm > 1:
            raise ValueError("one of size, layer_norm and batch_norm; further ones are entries of their own")
        if not self.model_fields_set & {"size", "activation"} and not self.normalizes:
            raise ValueError("a size, an activation, layer_norm or batch_norm")
        if self.alpha is not None and self.activation not in ALPHAS:
            raise ValueError(f"alpha only with an activation of {' and '.join(ALPHAS)}")
        if "eps" in self.model_fields_set and not self.normalizes:
            raise ValueError("eps only with layer_norm or batch_norm")
        return self


def output_width(layers: Iterable[FeedForwardConfig], inputs: int) -> int:
    """Return the number of outputs of feed-forward layers that read `inputs` numbers."""
    width = inputs
    for layer in layers:
        width = layer.size or width
    return width
