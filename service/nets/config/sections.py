"""Sections of config.json that several architectures share. Each value is checked on its own."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field, PlainValidator, model_validator

from service.nets.config.cell_options import CellOptions
from service.nets.config.convolution import ConvolutionConfig
from service.nets.config.feed_forward import FeedForwardConfig, Size, output_width
from service.nets.config.rnn_spec import STANDARD, Cell, Connection, DType, RnnSpec
from service.nets.config.strict_model import StrictModel

Name = Annotated[str, Field(min_length=1, max_length=256)]
#: Names of features, in the order of their columns.
Names = Annotated[list[Name], Field(max_length=4096)]
#: The files that decide how text and numbers are read.
TOKENIZER_FILE = "tokenizer.json"
PREPROCESSOR_FILE = "preprocessor.json"
#: Recurrent layers, and linear layers behind them.
MAX_LAYERS = 256
ROLES = ("unknown", "begin", "end", "pad")
FeedForwardLayers = Annotated[list[FeedForwardConfig], Field(max_length=MAX_LAYERS)]
InitialState = Literal["zeros", "learned"]
#: A field, its value, and what was expected.
Violation: TypeAlias = tuple[str, object, str]


class StateEntry(StrictModel):
    """One tensor that a session stores; the shape is without the batch."""

    name: Annotated[str, Field(max_length=256)]
    shape: Annotated[list[int], Field(max_length=16)]
    dtype: DType


def _hidden_size(value: object) -> int | list[int]:
    sizes = value if isinstance(value, list) else [value]
    if not sizes or not all(type(size) is int and 1 <= size <= 2**24 for size in sizes):
        raise ValueError("a positive integer, or a list of one per layer")
    return value  # type: ignore[return-value]  # just checked


def _known_roles(tokens: dict[str, str]) -> dict[str, str]:
    if unknown := sorted(tokens.keys() - set(ROLES)):
        raise ValueError(f"only the roles {', '.join(ROLES)}, not {', '.join(unknown)[:200]}")
    return tokens


#: Entries of the vocabulary by role; roles may be missing.
SpecialTokens = Annotated[dict[str, str], AfterValidator(_known_roles)]


class StackConfig(StrictModel):
    """Recurrent layers of one kind, with feed-forward layers in front of them."""

    cell: Cell
    num_layers: Annotated[int, Field(ge=1, le=MAX_LAYERS)]
    input_size: Size
    hidden_size: Annotated[int | list[int], PlainValidator(_hidden_size)]
    proj_size: Annotated[int, Field(ge=0, le=2**24)] = 0
    bias: bool = True
    bidirectional: bool = False
    layer_norm: bool = False
    connection: Connection = "none"
    cell_options: CellOptions = Field(default=STANDARD)
    input_layers: FeedForwardLayers = Field(default=[])

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """One hidden size per layer."""
        size = self.hidden_size
        return tuple(size) if isinstance(size, list) else (size,) * self.num_layers

    def rnn_spec(self) -> RnnSpec:
        """Return the specification of the recurrent layers."""
        return RnnSpec(
            self.cell,
            self.input_size,
            self.hidden_sizes,
            self.proj_size,
            self.bias,
            self.bidirectional,
            self.layer_norm,
            self.connection,
            self.cell_options,
            tuple(self.input_layers),
        )

    def depth_violation(self) -> Violation | None:
        """Return the violation of a wrong number of hidden sizes, which makes all other checks meaningless."""
        count = len(self.hidden_sizes)
        expected = f"num_layers ({self.num_layers}) of them, or one number for all layers"
        return None if count == self.num_layers else ("hidden_size", f"{count} sizes", expected)

    def projection_violations(self) -> Iterator[Violation]:
        """Yield the violations of `proj_size`."""
        if self.proj_size and self.cell != "lstm":
            yield "proj_size", self.proj_size, f"0, since cell is {self.cell} and only an lstm is projected"
        if self.proj_size >= min(self.hidden_sizes):
            yield "proj_size", self.proj_size, f"less than hidden_size ({min(self.hidden_sizes)})"

    def cell_violations(self) -> Iterator[Violation]:
        """Yield the violations of `cell_options`."""
        options, plain = self.cell_options, self.cell.startswith("rnn")
        if options.gate_activation is not None and plain:
            yield "cell_options.gate_activation", options.gate_activation, f"none, since a {self.cell} has no gates"
        if options.reset == "before" and self.cell != "gru":
            yield "cell_options.reset", "before", f"none, since cell is {self.cell} and only a gru has a reset gate"
        if options.bias == "single" and not self.bias:
            yield "cell_options.bias", "single", "none, since bias is false"


class RnnConfig(StackConfig):
    """Recurrent layers: a stack of one kind, and `stacks` of other kinds behind it."""

    stacks: Annotated[list[StackConfig], Field(max_length=MAX_LAYERS)] = Field(default=[])
    initial_state: InitialState = "zeros"

    def rnn_spec(self) -> RnnSpec:
        """Return the specification of all recurrent layers."""
        further = tuple(stack.rnn_spec() for stack in self.stacks)
        return replace(super().rnn_spec(), learned_state=self.initial_state == "learned", further=further)

    @property
    def total_layers(self) -> int:
        """The number of recurrent layers of all stacks."""
        return self.num_layers + sum(stack.num_layers for stack in self.stacks)

    def depth_violation(self) -> Violation | None:
        """Return the violation of a wrong number of hidden sizes, which makes all other checks meaningless."""
        for index, stack in enumerate(self.stacks):
            if violation := stack.depth_violation():
                return f"stacks.{index}.{violation[0]}", *violation[1:]
        if self.total_layers > MAX_LAYERS:
            return "stacks", f"{self.total_layers} layers", f"at most {MAX_LAYERS}"
        return super().depth_violation()

    def projection_violations(self) -> Iterator[Violation]:
        """Yield the violations of `proj_size`, of the options of cells, and of the widths between layers."""
        yield from super().projection_violations()
        yield from self.cell_violations()
        width = StackConfig.rnn_spec(self).output_size()
        for index, stack in enumerate(self.stacks):
            for field, value, expected in chain(stack.projection_violations(), stack.cell_violations()):
                yield f"stacks.{index}.{field}", value, expected
            reads = output_width(stack.input_layers, width)
            if stack.input_size != reads:
                what = "the output of its input_layers" if stack.input_layers else "the output of the layer before"
                yield f"stacks.{index}.input_size", stack.input_size, f"{reads}, {what}"
            width = stack.rnn_spec().output_size()

    def connection_violations(self) -> Iterator[Violation]:
        """Yield the violation of a connection that no layer can have."""
        if self.connection != "none" and not any(layer.connected for layer in self.rnn_spec().layers):
            yield "connection", self.connection, "none: no layer's output is as wide as its input"


class OneHotConfig(StrictModel):
    """The field that has unit vectors in place of an embedding."""

    one_hot: bool = False

    @model_validator(mode="before")
    @classmethod
    def _complete_one_hot(cls, fields: Any) -> Any:  # noqa: ANN401 any JSON value
        """Set `embedding_size`, which unit vectors have by themselves."""
        if isinstance(fields, dict) and fields.get("one_hot") is True and "vocab_size" in fields:
            return {"embedding_size": fields["vocab_size"], **fields}
        return fields

    def one_hot_violations(self, embedding: int | None, vocabulary: int | None) -> Iterator[Violation]:
        """Yield the violations of `one_hot`, given the sizes of embedding and vocabulary."""
        if self.one_hot and vocabulary is None:
            yield "one_hot", "true", "false: the network reads numbers"
        elif self.one_hot and embedding != vocabulary:
            expected = f"{vocabulary}, since one_hot is true: unit vectors are as wide as the vocabulary"
            yield "embedding_size", embedding, expected


class EmbeddingConfig(RnnConfig, OneHotConfig):
    """An embedding, or unit vectors in its place, and the recurrent layers that read it."""

    embedding_size: Size
    vocab_size: Size

    def embedding_violations(self, *, tied: bool = False) -> Iterator[Violation]:
        """Yield the violations of `one_hot`; `tied` says whether an output layer shares the embedding."""
        yield from self.one_hot_violations(self.embedding_size, self.vocab_size)
        if self.one_hot and tied:
            yield "tie_weights", "true", "false: with one_hot there is no embedding"


class HeadConfig(RnnConfig):
    """Recurrent layers with other layers before and after them. The features are the output of the last one."""

    input_projection: bool = False
    convolution: Annotated[list[ConvolutionConfig], Field(max_length=MAX_LAYERS)] = Field(default=[])
    head: FeedForwardLayers = Field(default=[])
    output_residual: bool = False

    @property
    def input_width(self) -> int:
        """Width of what the first layer reads: the projection, the convolutions, or the recurrent layers."""
        return self.input_size

    def rnn_spec(self) -> RnnSpec:
        """Return the specification of all recurrent layers, with the convolutions in front of them."""
        reads = self.input_size if self.input_projection else self.input_width
        return replace(super().rnn_spec(), convolution=tuple(self.convolution), reads=reads)

    def input_violations(self, expected: str) -> Iterator[Violation]:
        """Yield the violations of the width of the input; `expected` describes the right one without further layers."""
        if self.input_projection:
            if self.convolution or self.input_layers:
                yield "input_projection", "true", "false: a linear layer in front is an entry of input_layers"
            return
        width = output_width(self.input_layers, self.rnn_spec().convolved_size)
        if self.input_size == width:
            return
        if self.convolution or self.input_layers:
            expected = f"{width}, the output of {'input_layers' if self.input_layers else 'convolution'}"
        yield "input_size", self.input_size, expected

    @property
    def features_size(self) -> int:
        """Width of the features, the input of the output layers."""
        return output_width(self.head, self.rnn_spec().output_size())

    @property
    def stores_features(self) -> bool:
        """Whether a session stores the features, since the recurrent state does not contain them."""
        return bool(self.head) or not self.rnn_spec().last_output_is_state()
