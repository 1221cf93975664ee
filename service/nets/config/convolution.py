"""Convolutions over time in front of recurrent layers."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from service.nets.config.feed_forward import Activation, Size
from service.nets.config.strict_model import StrictModel


class ConvolutionConfig(StrictModel):
    """A convolution over the last timesteps, with an optional batch normalisation and an activation behind it.

    Padding `causal` puts zeros in front of the first timestep. Padding `valid` has none: the first timesteps, which
    fill the kernel, give no output, and the recurrent layers do not read them. Padding `same` puts half of the zeros
    behind the last timestep, as Keras and PyTorch do: an output reads later timesteps, so whole sequences are read.
    """

    channels: Size
    kernel: Annotated[int, Field(ge=1, le=4096)]
    padding: Literal["causal", "valid", "same"]
    dilation: Annotated[int, Field(ge=1, le=4096)] = 1
    bias: bool = True
    batch_norm: bool = False
    eps: Annotated[float, Field(gt=0, le=1)] = 1e-5
    activation: Activation = "none"

    @property
    def history(self) -> int:
        """The number of other timesteps that an output reads, all of them earlier ones unless padding is `same`."""
        return (self.kernel - 1) * self.dilation

    @property
    def zeros_in_front(self) -> int:
        """The number of zeros, or of timesteps without output, in front of the first timestep."""
        return self.history // 2 if self.padding == "same" else self.history

    @property
    def reads_ahead(self) -> bool:
        """Whether an output reads later timesteps."""
        return self.padding == "same" and self.history > 0


def warmup_timesteps(convolutions: Sequence[ConvolutionConfig]) -> int:
    """Return the number of first timesteps without output."""
    return sum(layer.history for layer in convolutions if layer.padding == "valid")
