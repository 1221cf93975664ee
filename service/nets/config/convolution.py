"""Convolutions over time in front of recurrent layers."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from service.nets.config.feed_forward import Activation, Size
from service.nets.config.strict_model import StrictModel


class ConvolutionConfig(StrictModel):
    """A convolution over the last timesteps, with an optional batch normalisation and an activation behind it.

    Padding `causal` puts zeros in front of the first timestep. Padding `valid` has none: the first timesteps, which
    fill the kernel, give no output, and the recurrent layers do not read them.
    """

    channels: Size
    kernel: Annotated[int, Field(ge=1, le=4096)]
    padding: Literal["causal", "valid"]
    dilation: Annotated[int, Field(ge=1, le=4096)] = 1
    bias: bool = True
    batch_norm: bool = False
    eps: Annotated[float, Field(gt=0, le=1)] = 1e-5
    activation: Activation = "none"

    @property
    def history(self) -> int:
        """The number of earlier timesteps that an output reads."""
        return (self.kernel - 1) * self.dilation


def warmup_timesteps(convolutions: Sequence[ConvolutionConfig]) -> int:
    """Return the number of first timesteps without output."""
    return sum(layer.history for layer in convolutions if layer.padding == "valid")
