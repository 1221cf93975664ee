"""Convolutions over time that keep their last inputs, so that a sequence can be read in any pieces."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from service.domain.operations import ComputeDtype
from service.nets.config.convolution import ConvolutionConfig
from service.nets.config.rnn_spec import RnnSpec
from service.nets.layers.activations import make_activation
from service.nets.layers.feed_forward import BatchNorm
from service.nets.layers.packed_linear import Packable, PackedMatmul, pack

State = dict[str, Tensor]


class Convolution(Packable):
    """A convolution with the parameters of `nn.Conv1d`, `weight` (O, I, kernel) and `bias`, uninitialised.

    Parameters of a batch normalisation behind it: `norm.*`.
    """

    def __init__(self, inputs: int, config: ConvolutionConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.channels, inputs, config.kernel))
        self.bias = nn.Parameter(torch.empty(config.channels)) if config.bias else None
        self.norm = BatchNorm(config.channels, config.eps) if config.batch_norm else None
        self._activation = make_activation(config.activation)
        self._dilation, self._history = config.dilation, config.history
        self._product: PackedMatmul

    def pack(self, dtype: ComputeDtype) -> None:
        # The inputs of an output in one row, the oldest timestep first.
        self._product = pack(self.weight.transpose(1, 2).flatten(1), self.bias, dtype)
        del self.weight, self.bias

    def step(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Read one timestep: x (B, I), the inputs before it (B, history * I) -> output (B, O), the new last inputs."""
        if past is None:
            window, after = x, None
        else:
            inputs = torch.cat([past.reshape(len(past), self._history, -1), x[:, None]], 1)
            window, after = inputs[:, :: self._dilation].flatten(1), inputs[:, 1:].flatten(1)
        output = self._product(window)
        return self._activation(output if self.norm is None else self.norm(output)), after


class ConvolutionStack(nn.ModuleList):
    """Convolutions one behind the other. The parameters of convolution i are `{i}.weight`, ..."""

    def __init__(self, spec: RnnSpec) -> None:
        widths = [spec.read_size, *(layer.channels for layer in spec.convolution)]
        layers = [Convolution(width, layer) for width, layer in zip(widths, spec.convolution, strict=False)]
        super().__init__(layers)
        self._layers = layers
        self._warmup = spec.warmup
        #: The number of timesteps before each convolution that give it no input.
        self._waits = [
            sum(layer.history for layer in spec.convolution[:index] if layer.padding == "valid")
            for index in range(len(spec.convolution))
        ]

    def step(self, x: Tensor, state: State) -> tuple[Tensor, Tensor | None, State]:
        """Read one timestep: x (B, I), state (B, size) each -> output (B, O), rows with output (B, 1), new state.

        The rows are None if all have an output. Those without one have any numbers instead.
        """
        read, new_state = state.get("timesteps_read"), State()
        for index, (layer, wait) in enumerate(zip(self._layers, self._waits, strict=True)):
            name = f"convolution_{index}"
            before = state.get(name)
            x, after = layer.step(x, before)
            if before is not None and after is not None:
                new_state[name] = after if read is None or not wait else torch.where(read >= wait, after, before)
        if read is None:
            return x, None, new_state
        new_state["timesteps_read"] = (read + 1).clamp_(max=self._warmup)
        return x, read >= self._warmup, new_state

    def packed_sequence(
        self, x: Tensor, counts: Sequence[int], state: State
    ) -> tuple[Tensor, list[Tensor] | None, State]:
        """Read sequences of different lengths as `RnnStack.packed_sequence` does.

        Return the outputs (n, O), the rows with an output at each timestep, and the new state.
        """
        outputs, ready, ended = [], [], []
        state = {name: state[name] for name in state if name == "timesteps_read" or name.startswith("convolution_")}
        for inputs in torch.split(x, [*counts]):
            count = len(inputs)
            ended.append({name: value[count:] for name, value in state.items()})
            output, with_output, state = self.step(inputs, {name: value[:count] for name, value in state.items()})
            outputs.append(output)
            ready += [] if with_output is None else [with_output]
        after = {name: torch.cat([value, *(part[name] for part in ended[::-1])]) for name, value in state.items()}
        return torch.cat(outputs), ready or None, after
