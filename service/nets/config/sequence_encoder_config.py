"""config.json of a sequence encoder: recurrent layers over text or numbers, a readout, and the outputs of a task."""

from collections.abc import Iterator
from typing import Literal

from service.nets.config.architecture_config import PaddedWindowConfig, SequenceConfig
from service.nets.config.feed_forward import LinearConfig, Size
from service.nets.config.rnn_spec import StateSpec
from service.nets.config.sections import (
    OneHotConfig,
    RnnConfig,
    Violation,
)


class SequenceEncoderConfig(PaddedWindowConfig, OneHotConfig, SequenceConfig):
    """The fields of a sequence encoder. It reads text if it has a vocabulary, else numbers."""

    task: Literal["classification", "tagging", "regression", "embedding"]
    architecture: Literal["sequence-encoder"]
    embedding_size: Size | None = None
    #: The layer in front of the scores of the readout `attention`.
    attention: LinearConfig | None = None

    @property
    def companion_files(self) -> tuple[str, ...]:
        """The file that decides how inputs are read."""
        return (self.input_file,)

    @property
    def session_layers(self) -> RnnConfig:
        """All recurrent layers."""
        return self

    @property
    def width(self) -> int:
        """Number of inputs of a timestep: those of an embedding, or features and indicators of missing values."""
        return self.embedding_size or 0 if self.reads_text else self.row_width

    @property
    def input_width(self) -> int:
        """Number of inputs of a timestep."""
        return self.width or self.input_size

    @property
    def readout_size(self) -> int:
        """Width of the readout, the input of the head."""
        return self.rnn_spec().output_size()

    @property
    def outputs_size(self) -> int:
        """Width of an answer: the number of outputs, or the width of the features if they are the answer."""
        return self.output_size or self.features_size

    @property
    def answers_each(self) -> bool:
        """Whether every timestep can be answered on its own: not by a readout of all of them that reads ahead."""
        return self.readout == "each" or not self.rnn_spec().reads_ahead or self.window_size is not None

    @property
    def session_obstacle(self) -> str | None:
        """The reason why the network answers whole sequences only, None if it reads one timestep at a time."""
        if self.window_size is not None:
            return None
        if self.rnn_spec().reads_backwards:
            return "bidirectional is true, so the network reads a sequence from its end, too"
        if self.rnn_spec().reads_ahead:
            return (
                "padding of a convolution is same, so the network reads later timesteps, too; with a window, or with "
                "causal padding, it would have sessions"
            )
        if self.crf:
            return "crf is true, so the last timestep decides about the tags of those before it"
        return None

    def network_state(self) -> list[StateSpec]:
        """Return the recurrent tensors and those of the readout, or the window."""
        if self.window_size is not None:
            shape, max_id = ((self.width,), None) if self.vocab_size is None else ((), self.vocab_size - 1)
            return self.window_state(shape, max_id)
        width, spec = self.readout_size, self.rnn_spec()
        accumulated = {
            "mean": [StateSpec("sum", (width,))],
            "max": [StateSpec("maximum", (width,))],
            "attention": [
                StateSpec("max_score", (1,)),
                StateSpec("weight_sum", (1,)),
                StateSpec("weighted_sum", (width,)),
            ],
        }
        last = [] if spec.last_output_is_state() else [StateSpec("output", (width,))]
        return [*spec.state(), *accumulated.get(self.readout, last)]

    def session_state(self) -> list[StateSpec]:
        """Return the tensors of the network's state and the last row of numbers; none if there are no sessions."""
        if self.session_obstacle:
            return []
        last = [] if self.reads_text else [StateSpec("last", (len(self.features),))]
        return [*self.network_state(), *last]

    def violations(self) -> Iterator[Violation]:
        """Yield the fields that are valid on their own but contradict each other."""
        if depth := self.depth_violation():
            yield depth
            return
        yield from self.projection_violations()
        yield from self.connection_violations()
        yield from self._input_violations()
        yield from self.output_violations(self.task)
        yield from self._readout_violations()
        yield from self._window_violations()
        if self.output_residual:
            yield "output_residual", "true", "false: an input cannot be added to the outputs of a sequence encoder"

    def _window_violations(self) -> Iterator[Violation]:
        if self.padding is not None and not self.reads_text:
            yield "padding", self.padding.token, "null: the network reads numbers, and only text is padded"
        yield from self.padding_violations(self.special_tokens)
        if self.window_size is not None and self.crf:
            yield "crf", "true", "false: a network that chooses all tags of a sequence together reads no windows"

    def _input_violations(self) -> Iterator[Violation]:
        if self.reads_text and self.embedding_size is None:
            yield "embedding_size", "nothing", "the width of the embedding, since there is a vocab_size"
        if not self.reads_text and self.embedding_size is not None:
            yield "vocab_size", "nothing", "the number of tokens, since there is an embedding_size"
        else:
            yield from self.sequence_violations()
        of = "embedding_size" if self.reads_text else "features and indicators"
        if self.width:
            yield from self.input_violations(f"{self.width} ({of}), or input_projection true")
        yield from self.one_hot_violations(self.embedding_size, self.vocab_size)

    def _readout_violations(self) -> Iterator[Violation]:
        if self.rnn_spec().warmup and self.readout != "last":
            yield "readout", self.readout, "last, or convolutions with causal padding: some timesteps have no output"
        if self.attention is not None and self.readout != "attention":
            yield "attention", self.attention.size, f"null, since readout is {self.readout}"
