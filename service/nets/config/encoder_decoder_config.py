"""config.json of an encoder-decoder: both sides, the bridge between them, attention, and the output layer's input."""

from collections.abc import Iterator
from itertools import chain
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from service.nets.config.architecture_config import ArchitectureConfig
from service.nets.config.feed_forward import Activation, LinearConfig, output_width
from service.nets.config.rnn_spec import StateSpec
from service.nets.config.sections import EmbeddingConfig, RnnConfig, SpecialTokens, Violation

#: The name of a file in the model folder; no path.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.json$", max_length=200)]
Attention = Literal["dot", "general", "additive", "fixed"]
ReadoutPart = Literal["context", "output", "embedding"]
READOUT_PARTS: tuple[ReadoutPart, ...] = get_args(ReadoutPart)
Bridge = Literal["concat", "linear"]


class EncoderConfig(EmbeddingConfig):
    """The fields of the side that reads the source, between the marks `begin` and `end` if it was trained so."""

    tokenizer: FileName = "tokenizer.json"
    begin: bool = False
    end: bool = True

    @property
    def marks(self) -> tuple[str, ...]:
        """The roles of the special tokens around a source."""
        return tuple(role for role, used in (("begin", self.begin), ("end", self.end)) if used)


class DecoderConfig(EmbeddingConfig):
    """The fields of the side that writes the target; with `input_feed` it also reads the previous features."""

    tokenizer: FileName = "tokenizer.json"
    tie_weights: bool = False
    input_feed: bool = False


class EncoderDecoderConfig(ArchitectureConfig):
    """The fields of a translation network."""

    translates: ClassVar[bool] = True

    task: Literal["translation"]
    architecture: Literal["encoder-decoder"]
    encoder: EncoderConfig
    decoder: DecoderConfig
    bridge: Bridge = "concat"
    #: What follows the layers of a linear bridge.
    bridge_activation: Activation = "none"
    attention: Attention | None = None
    #: Behind the decoder's recurrent layers, or in front of them: then they read [embedding; context].
    attention_place: Literal["behind", "front"] = "behind"
    #: The number of source positions that `fixed` attention scores, from the embedding and the last state alone.
    attention_length: Annotated[int, Field(ge=1, le=65536)] | None = None
    #: What the layer after the decoder reads, in this order.
    readout: Annotated[list[ReadoutPart], Field(min_length=1, max_length=3)] | None = None
    #: The layer after attention and decoder. Without it the output layer reads their outputs directly.
    combine: LinearConfig | None = None
    #: The roles are the same in both vocabularies.
    special_tokens: SpecialTokens = Field(default={})

    @property
    def companion_files(self) -> tuple[str, ...]:
        """The files of the vocabularies: source, target."""
        return (self.encoder.tokenizer, self.decoder.tokenizer)

    @property
    def memory_size(self) -> int:
        """Width of the encoder's output at a source position."""
        return self.encoder.rnn_spec().output_size()

    @property
    def attends_in_front(self) -> bool:
        """Whether the decoder's recurrent layers read the attended memory."""
        return self.attention is not None and self.attention_place == "front"

    @property
    def readout_parts(self) -> tuple[ReadoutPart, ...]:
        """What the layer after the decoder reads: by default its output, and the context of an attention behind it."""
        if self.readout is not None:
            return tuple(self.readout)
        return ("context", "output") if self.attention and not self.attends_in_front else ("output",)

    @property
    def query_size(self) -> int:
        """Width of what an attention compares the memory with: the decoder's output, or its last state."""
        size = self.decoder.rnn_spec().layers[-1].state_size
        return size + (self.decoder.embedding_size if self.attention == "fixed" else 0)

    @property
    def context_size(self) -> int:
        """Total width of what the layer after the decoder reads."""
        widths = self.memory_size, self.decoder.rnn_spec().output_size(), self.decoder.embedding_size
        return sum(width for part, width in zip(READOUT_PARTS, widths, strict=True) if part in self.readout_parts)

    @property
    def features_size(self) -> int:
        """Width of the output layer's input."""
        return self.context_size if self.combine is None else self.combine.size

    @property
    def decoder_reads(self) -> int:
        """Width of what the decoder reads: the embedding, and the last features or the context in front of it."""
        fed = self.features_size if self.decoder.input_feed else 0
        return self.decoder.embedding_size + fed + (self.memory_size if self.attends_in_front else 0)

    @property
    def session_layers(self) -> RnnConfig:
        """The decoder's recurrent layers."""
        return self.decoder

    def session_state(self) -> list[StateSpec]:
        """Return the decoder's recurrent tensors and, with input feeding, the last features."""
        fed = [StateSpec("attentional", (self.features_size,))] if self.decoder.input_feed else []
        return [*self.decoder.rnn_spec().state(), *fed]

    def bridged_layer(self, layer: int) -> int:
        """Return the encoder layer whose final state initialises the decoder's `layer`, both counted from the top."""
        return max(0, layer + self.encoder.total_layers - self.decoder.total_layers)

    def violations(self) -> Iterator[Violation]:
        """Yield the fields that are valid on their own but contradict each other."""
        depths = [
            (name, side.depth_violation()) for name, side in (("encoder", self.encoder), ("decoder", self.decoder))
        ]
        if wrong := [(f"{name}.{violation[0]}", *violation[1:]) for name, violation in depths if violation]:
            yield from wrong
            return
        yield from self._side_violations("encoder", self.encoder, self.encoder.embedding_size)
        yield from self._side_violations("decoder", self.decoder, self.decoder_reads)
        yield from self._decoder_violations()
        yield from self._attention_violations()
        yield from self._bridge_violations()
        for role in ("begin", "end"):
            if role not in self.special_tokens:
                yield (
                    "special_tokens",
                    "no " + role,
                    f"one: a translation starts and ends with marks, {role} is missing",
                )

    def _side_violations(self, name: str, side: EmbeddingConfig, reads: int) -> Iterator[Violation]:
        width = output_width(side.input_layers, reads)
        if side.input_size != width:
            beside = "the context" if self.attends_in_front else "the features fed back"
            what = "embedding_size" if reads == side.embedding_size else f"embedding_size and {beside}"
            what = "the output of input_layers" if side.input_layers else what
            yield f"{name}.input_size", side.input_size, f"{width}, {what}"
        for field, value, expected in chain(
            side.projection_violations(),
            side.connection_violations(),
            side.embedding_violations(tied=getattr(side, "tie_weights", False)),
        ):
            yield f"{name}.{field}", value, expected

    def _decoder_violations(self) -> Iterator[Violation]:
        if self.decoder.initial_state != "zeros":
            yield "decoder.initial_state", self.decoder.initial_state, "zeros: the bridge gives the decoder its state"
        if self.decoder.rnn_spec().reads_backwards:
            yield "decoder.bidirectional", "true", "false: a decoder cannot read what comes next"
        if self.decoder.input_feed and self.attention is None:
            yield "decoder.input_feed", "true", "false, or an attention whose result is fed"
        if self.decoder.tie_weights and self.features_size != self.decoder.embedding_size:
            reads, wide = self.features_size, self.decoder.embedding_size
            expected = f"false: the output layer reads {reads} numbers, an embedding has {wide}"
            yield "decoder.tie_weights", "true", expected
        query = self.decoder.rnn_spec().output_size()
        if self.attention == "dot" and query != self.memory_size:
            expected = f"general or additive: decoder outputs have {query} numbers, the encoder's {self.memory_size}"
            yield "attention", "dot", expected

    def _attention_violations(self) -> Iterator[Violation]:
        if self.attention is None and self.attention_place == "front":
            yield "attention_place", "front", "behind, or an attention in front of the recurrent layers"
        if self.attends_in_front and self.decoder.input_feed:
            yield "decoder.input_feed", "true", "false, since the attention is in front of the recurrent layers"
        fixed = self.attention == "fixed"
        if fixed and self.attention_place == "behind":
            yield "attention_place", "behind", "front, since attention is fixed"
        if fixed != (self.attention_length is not None):
            expected = "the number of positions that are scored" if fixed else "null, since attention is not fixed"
            yield "attention_length", self.attention_length or "null", expected
        yield from self._readout_violations()

    def _readout_violations(self) -> Iterator[Violation]:
        parts = self.readout_parts
        if len(set(parts)) != len(parts) or "output" not in parts:
            yield "readout", parts, "output and each other part at most once"
        if "context" in parts and self.attention is None:
            yield "readout", parts, "no context, since there is no attention"

    def _bridge_violations(self) -> Iterator[Violation]:
        if self.bridge != "concat":
            return
        if self.bridge_activation != "none":
            yield "bridge_activation", self.bridge_activation, "none: bridge concat has no layers"
        if self.decoder.total_layers > self.encoder.total_layers:
            expected = f"at most the encoder's {self.encoder.total_layers}, since bridge is concat"
            yield "decoder.num_layers", self.decoder.total_layers, expected
            return
        encoder, decoder = self.encoder.rnn_spec().layers, self.decoder.rnn_spec().layers
        for layer, target in enumerate(decoder):
            source = self.bridged_layer(layer)
            given = encoder[source]
            if target.cell == "lstm" and given.cell != "lstm":
                yield "bridge", "concat", f"linear: an lstm needs a cell state, and the encoder is a {given.cell}"
                return
            sizes = [(target.state_size, given.output_size)]
            if target.cell == "lstm":
                sizes.append((target.hidden_size, len(given.directions) * given.hidden_size))
            for size, bridged in sizes:
                if size != bridged:
                    expected = f"the decoder's layer {layer} has {size} numbers, the encoder's {source} gives {bridged}"
                    yield "bridge", "concat", f"linear: {expected}"
