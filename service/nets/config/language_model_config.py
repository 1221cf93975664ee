"""config.json of a language model, and of the vector that the sequences of a conditioned one begin with."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from service.nets.config.architecture_config import PaddedWindowConfig
from service.nets.config.feed_forward import Activation, output_width
from service.nets.config.rnn_spec import StateSpec
from service.nets.config.sections import (
    MAX_LAYERS,
    EmbeddingConfig,
    FeedForwardLayers,
    RnnConfig,
    SpecialTokens,
    Violation,
)
from service.nets.config.strict_model import StrictModel

#: Numbers of a vector: as many as the features of the widest image networks, twice.
MAX_VECTOR = 2**16
VectorSize = Annotated[int, Field(ge=1, le=MAX_VECTOR)]


class VectorConfig(StrictModel):
    """A vector of `size` numbers, and feed-forward `layers` in front of whatever reads it.

    If the initial state comes from the vector, a linear layer and `activation` give each of `states`, by default all
    tensors of the recurrent state; those that are left out are zeros. `first_input` are the layers whose output is read
    as the first input, in front of all tokens; None if the vector is no input.
    """

    size: VectorSize
    layers: FeedForwardLayers = Field(default=[])
    states: Annotated[list[str], Field(min_length=1, max_length=2 * MAX_LAYERS)] | None = None
    activation: Activation = "none"
    first_input: FeedForwardLayers | None = None

    @property
    def width(self) -> int:
        """The number of outputs of `layers`."""
        return output_width(self.layers, self.size)

    def violations(self, states: Sequence[str], embedding_size: int, *, gives_state: bool) -> Iterator[Violation]:
        """Yield the fields that contradict the network, whose recurrent state has the tensors `states`.

        `gives_state` says whether the initial state comes from the vector.
        """
        if not gives_state and self.first_input is None:
            yield "vector", "nothing that reads it", 'first_input inside, or initial_state "vector"'
        if not gives_state and self.model_fields_set & {"states", "activation"}:
            yield "initial_state", "another one than vector", '"vector", since vector.states or activation is stated'
        yield from self._states_violations(states)
        width = embedding_size if self.first_input is None else output_width(self.first_input, self.width)
        if width != embedding_size:
            expected = f"{embedding_size}, those of an embedding, in whose place they are read"
            yield "vector.first_input", f"layers with {width} outputs", expected

    def _states_violations(self, known: Sequence[str]) -> Iterator[Violation]:
        given = self.states or []
        if unknown := [name for name in given if name not in known]:
            yield "vector.states", unknown[0], f"tensors of the recurrent state: {', '.join(known)}"
        if len({*given}) < len(given):
            yield "vector.states", ", ".join(given), "each tensor once"


class LanguageModelConfig(PaddedWindowConfig, EmbeddingConfig):
    """The fields of a language model."""

    task: Literal["next-word"]
    architecture: Literal["language-model"]
    #: Wider than that of other networks: a sequence can begin with a vector that the client sends.
    initial_state: Literal["zeros", "learned", "vector"] = "zeros"  # type: ignore[assignment]
    vector: VectorConfig | None = None
    tie_weights: bool = False
    special_tokens: SpecialTokens = Field(default={})

    @property
    def companion_files(self) -> tuple[str, ...]:
        """The file of the vocabulary."""
        return ("tokenizer.json",)

    @property
    def input_width(self) -> int:
        """Width of the embeddings."""
        return self.embedding_size

    @property
    def session_layers(self) -> RnnConfig:
        """All recurrent layers."""
        return self

    @property
    def vector_size(self) -> int | None:
        """The number of numbers of the vector that a sequence begins with, None without one."""
        return None if self.vector is None else self.vector.size

    def vector_states(self) -> list[StateSpec]:
        """Return the tensors of the recurrent state that come from the vector before anything is read."""
        if self.vector is None or self.initial_state != "vector":
            return []
        states = self.rnn_spec().recurrent_state()
        return [spec for spec in states if self.vector.states is None or spec.name in self.vector.states]

    def session_state(self) -> list[StateSpec]:
        """Return what a session stores.

        The recurrent tensors or the window, the features where needed, the log of the normaliser, and the vector.
        """
        state = [*self.stream_state((), self.vocab_size - 1), StateSpec("log_normaliser", (1,))]
        return state if self.vector is None else [*state, StateSpec("vector", (self.vector.size,))]

    def violations(self) -> Iterator[Violation]:
        """Yield the fields that are valid on their own but contradict each other."""
        if depth := self.depth_violation():
            yield depth
            return
        yield from self.projection_violations()
        if self.rnn_spec().reads_backwards:
            yield "bidirectional", "true", "false: a language model cannot read what comes next"
        yield from self.convolution_violations()
        if self.output_residual:
            yield "output_residual", "true", "false: a language model's input are ids, which logits cannot be added to"
        yield from self.input_violations(f"embedding_size ({self.embedding_size}), or input_projection true")
        yield from self.connection_violations()
        yield from self.embedding_violations(tied=self.tie_weights)
        yield from self.padding_violations(self.special_tokens)
        yield from self._vector_violations()
        if self.tie_weights and self.features_size != self.embedding_size:
            expected = f"false: the output layer reads {self.features_size} numbers, an embedding has "
            yield "tie_weights", "true", f"{expected}{self.embedding_size}"

    def _vector_violations(self) -> Iterator[Violation]:
        gives_state = self.initial_state == "vector"
        if self.vector is None:
            if gives_state:
                yield "vector", "nothing", 'an object with its size, since initial_state is "vector"'
            return
        if self.window_size is not None:
            field = "window" if self.padding is None else "padding"
            yield field, self.window_size, "none, since a sequence that begins with a vector is read as a whole"
        states = [spec.name for spec in self.rnn_spec().recurrent_state()]
        yield from self.vector.violations(states, self.embedding_size, gives_state=gives_state)
