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

#: Inputs of outputs that are computed at once where whole sequences are read; this bounds the memory.
MAX_NUMBERS = 2**22


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
        self._dilation, self._history, self._front = config.dilation, config.history, config.zeros_in_front
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
        return self._output(window), after

    def whole(self, x: Tensor, present: Tensor) -> Tensor:
        """Read whole sequences (T, B, I) with zeros where they have no timestep.

        Return the outputs (n, O) of the timesteps of `present` (T, B), timestep by timestep.
        """
        places = range(-self._front, self._history - self._front + 1, self._dilation)
        part = max(1, MAX_NUMBERS // (len(places) * x.shape[-1]))
        indices = zip(*(torch.split(index, part) for index in present.nonzero(as_tuple=True)), strict=True)
        return torch.cat([self._output(_window(x, times, rows, places)) for times, rows in indices])

    def _output(self, window: Tensor) -> Tensor:
        output = self._product(window)
        return self._activation(output if self.norm is None else self.norm(output))


class ConvolutionStack(nn.ModuleList):
    """Convolutions one behind the other. The parameters of convolution i are `{i}.weight`, ..."""

    def __init__(self, spec: RnnSpec) -> None:
        widths = [spec.read_size, *(layer.channels for layer in spec.convolution)]
        layers = [Convolution(width, layer) for width, layer in zip(widths, spec.convolution, strict=False)]
        super().__init__(layers)
        self._layers = layers
        self._warmup = spec.warmup
        self._reads_ahead = any(layer.reads_ahead for layer in spec.convolution)
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

        Return the outputs (n, O), the rows with an output at each timestep, and the new state. Convolutions that read
        later timesteps read whole sequences, and leave no state.
        """
        return self._whole(x, counts) if self._reads_ahead else self._in_steps(x, counts, state)

    def _in_steps(self, x: Tensor, counts: Sequence[int], state: State) -> tuple[Tensor, list[Tensor] | None, State]:
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

    def _whole(self, x: Tensor, counts: Sequence[int]) -> tuple[Tensor, list[Tensor] | None, State]:
        timesteps = torch.arange(len(counts), device=x.device)[:, None]
        present = torch.arange(counts[0], device=x.device) < torch.tensor([*counts], device=x.device)[:, None]
        for layer, wait in zip(self._layers, self._waits, strict=True):
            sequences = x.new_zeros(*present.shape, x.shape[1])
            sequences[present] = x
            # What a convolution in front has no output for, is as if it were before the first timestep.
            x = layer.whole(sequences * (timesteps >= wait)[..., None], present)
        ready = [(timestep >= self._warmup).expand(count, 1) for timestep, count in zip(timesteps, counts, strict=True)]
        return x, ready if self._warmup else None, {}


def _window(x: Tensor, times: Tensor, rows: Tensor, places: range) -> Tensor:
    """Return what outputs at `times` (n,) of `rows` (n,) read of sequences (T, B, I): (n, kernel * I)."""
    read = []
    for place in places:
        at = times + place
        inside = (at >= 0) & (at < len(x))
        read.append(x[at.clamp(0, len(x) - 1), rows] * inside[:, None])
    return torch.cat(read, 1)
