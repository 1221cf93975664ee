"""Description of a network as values: its parts, and the layers of each in the order in which they are computed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias

from service.nets.config.convolution import ConvolutionConfig
from service.nets.config.feed_forward import FeedForwardConfig, LinearConfig
from service.nets.config.rnn_spec import LayerSpec, RnnSpec, StateSpec

LayerKind = Literal[
    "input",
    "embedding",
    "one_hot",
    "linear",
    "layer_norm",
    "batch_norm",
    "activation",
    "convolution",
    "recurrent",
    "bridge",
    "attention",
    "readout",
    "output",
    "crf",
    "graph",
]
Description: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer, or several recurrent ones of the same kind and size. Fields that do not apply to it are None.

    `inputs` and `outputs` are the numbers of a timestep. `reads` are the parts of the inputs with the size of each, if
    they are more than the outputs of the layer before. `method` says how a readout, an attention, a bridge or an output
    is computed. `steps` is the number of steps ahead that a layer of a forecaster answers. `features` are the columns
    of the rows that an input reads, in order, and `known` those of them that are known in advance.
    """

    kind: LayerKind
    name: str | None = None
    inputs: int | None = None
    outputs: int | None = None
    reads: Mapping[str, int] | None = None
    features: Sequence[str] | None = None
    known: Sequence[str] | None = None
    vocabulary: int | None = None
    tied: bool | None = None
    cell: str | None = None
    depth: int | None = None
    hidden_size: int | None = None
    projection_size: int | None = None
    bidirectional: bool | None = None
    initial_state: str | None = None
    connection: str | None = None
    layer_norm: bool | None = None
    kernel: int | None = None
    dilation: int | None = None
    padding: str | None = None
    activation: str | None = None
    gate_activation: str | None = None
    method: str | None = None
    steps: int | None = None
    tensors: Mapping[str, Any] | None = None

    def to_json(self) -> Description:
        """Return the fields that apply."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Part:
    """Layers that follow each other, such as an encoder. Other parts name it in `reads` and `initial_state`."""

    name: str
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class NetworkDescription:
    """A network. Each answer is computed from the last `window` inputs, or from all inputs if that is None."""

    parts: tuple[Part, ...]
    state: tuple[StateSpec, ...]
    window: int | None = None

    def to_json(self) -> Description:
        """Return the description as the API tells it."""
        return {
            "window": self.window,
            "parts": [{"name": part.name, "layers": [layer.to_json() for layer in part.layers]} for part in self.parts],
            "state": [spec.to_dict() for spec in self.state],
        }


@dataclass(slots=True)
class Chain:
    """The layers of a part while they are listed; `width` is the number of outputs of the last one."""

    width: int
    layers: list[Layer] = field(default_factory=list)

    def add(self, layer: Layer) -> None:
        """Add a layer that reads what the last one returns, unless it states its inputs."""
        self.layers.append(layer)
        self.width = self.width if layer.outputs is None else layer.outputs

    def linear(self, name: str, config: LinearConfig | None, reads: Mapping[str, int] | None = None) -> None:
        """Add a linear layer, if there is one."""
        if config is not None:
            inputs = self.width if reads is None else sum(reads.values())
            self.add(
                Layer(
                    kind="linear",
                    name=name,
                    inputs=inputs,
                    outputs=config.size,
                    reads=reads,
                    activation=_activation(config.activation),
                )
            )

    def feed_forward(self, name: str, configs: Iterable[FeedForwardConfig]) -> None:
        """Add feed-forward layers."""
        for config in configs:
            width = config.size or self.width
            self.add(
                Layer(
                    kind=_kind(config),
                    name=name,
                    inputs=self.width,
                    outputs=width,
                    activation=_activation(config.activation),
                )
            )

    def projection(self, size: int, *, present: bool) -> None:
        """Add the linear layer in front of the recurrent ones, if it is present."""
        self.linear("input_projection", LinearConfig(size=size) if present else None)

    def recurrent(self, spec: RnnSpec, initial_state: str = "zeros", reads: Mapping[str, int] | None = None) -> None:
        """Add the convolutions and recurrent layers of a stack, and the feed-forward layers in front of these."""
        for config in spec.convolution:
            self.add(_convolution(config, self.width))
        for group in _groups(spec.layers):
            before = group[0].before
            self.feed_forward("input_layers", before)
            self.add(_recurrent(group, initial_state, None if before else reads))
            reads = None


def embedding(size: int, vocabulary: int, *, one_hot: bool) -> Layer:
    """Return the layer that reads tokens."""
    return Layer(kind="one_hot" if one_hot else "embedding", outputs=size, vocabulary=vocabulary)


def _groups(layers: Iterable[LayerSpec]) -> list[list[LayerSpec]]:
    """Return the layers in groups that differ at most in the widths of their inputs."""
    groups: list[list[LayerSpec]] = []
    for layer in layers:
        if groups and not layer.before and _kind_of(layer) == _kind_of(groups[-1][0]):
            groups[-1].append(layer)
        else:
            groups.append([layer])
    return groups


def _kind_of(layer: LayerSpec) -> LayerSpec:
    return replace(layer, input_size=0, before=(), reads=0)


def _recurrent(layers: list[LayerSpec], initial_state: str, reads: Mapping[str, int] | None) -> Layer:
    first, last = layers[0], layers[-1]
    return Layer(
        kind="recurrent",
        inputs=first.input_size,
        outputs=last.output_size,
        reads=reads,
        cell=first.cell,
        depth=len(layers),
        hidden_size=first.hidden_size,
        projection_size=first.proj_size or None,
        bidirectional=first.bidirectional,
        initial_state=initial_state,
        connection=None if first.connection == "none" else first.connection,
        layer_norm=first.layer_norm or None,
        activation=first.options.activation,
        gate_activation=first.options.gate_activation,
    )


def _convolution(config: ConvolutionConfig, width: int) -> Layer:
    return Layer(
        kind="convolution",
        inputs=width,
        outputs=config.channels,
        kernel=config.kernel,
        dilation=config.dilation,
        padding=config.padding,
        activation=_activation(config.activation),
    )


def _kind(config: FeedForwardConfig) -> LayerKind:
    if config.size is not None:
        return "linear"
    if config.layer_norm:
        return "layer_norm"
    return "batch_norm" if config.batch_norm else "activation"


def _activation(name: str) -> str | None:
    return None if name in {"none", "linear"} else name
