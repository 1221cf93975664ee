"""Sections of config.json that several architectures share. Each value is checked on its own."""

from collections.abc import Iterator
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field, PlainValidator

from service.nets.config.feed_forward import FeedForwardConfig, Size, output_width
from service.nets.config.rnn_spec import Cell, Connection, DType, RnnSpec
from service.nets.config.strict_model import StrictModel

#: Recurrent layers, and linear layers behind them.
MAX_LAYERS = 256
ROLES = ("unknown", "begin", "end", "pad")
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


class RnnConfig(StrictModel):
    """Recurrent layers."""

    cell: Cell
    num_layers: Annotated[int, Field(ge=1, le=MAX_LAYERS)]
    input_size: Size
    hidden_size: Annotated[int | list[int], PlainValidator(_hidden_size)]
    proj_size: Annotated[int, Field(ge=0, le=2**24)] = 0
    bias: bool = True
    bidirectional: bool = False
    layer_norm: bool = False
    connection: Connection = "none"

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

    def connection_violations(self) -> Iterator[Violation]:
        """Yield the violation of a connection that no layer can have."""
        spec = self.rnn_spec()
        if self.connection != "none" and not any(spec.connected(layer) for layer in range(spec.depth)):
            yield "connection", self.connection, "none: no layer's output is as wide as its input"


class EmbeddingConfig(RnnConfig):
    """An embedding and the recurrent layers that read it."""

    embedding_size: Size
    vocab_size: Size


class HeadConfig(RnnConfig):
    """Recurrent layers with other layers before and after them. The features are the output of the last one."""

    input_projection: bool = False
    head: Annotated[list[FeedForwardConfig], Field(max_length=MAX_LAYERS)] = Field(default=[])
    output_residual: bool = False

    @property
    def features_size(self) -> int:
        """Width of the features, the input of the output layers."""
        return output_width(self.head, self.rnn_spec().output_size())

    @property
    def stores_features(self) -> bool:
        """Whether a session stores the features, since the recurrent state does not contain them."""
        return bool(self.head) or not self.rnn_spec().last_output_is_state()
