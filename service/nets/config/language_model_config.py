"""config.json of a language model."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from service.nets.config.architecture_config import PaddedWindowConfig
from service.nets.config.rnn_spec import StateSpec
from service.nets.config.sections import EmbeddingConfig, RnnConfig, SpecialTokens, Violation


class LanguageModelConfig(PaddedWindowConfig, EmbeddingConfig):
    """The fields of a language model."""

    task: Literal["next-word"]
    architecture: Literal["language-model"]
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

    def session_state(self) -> list[StateSpec]:
        """Return the recurrent tensors or the window, the features where needed, and the log of the normaliser."""
        return [*self.stream_state((), self.vocab_size - 1), StateSpec("log_normaliser", (1,))]

    def violations(self) -> Iterator[Violation]:
        """Yield the fields that are valid on their own but contradict each other."""
        if depth := self.depth_violation():
            yield depth
            return
        yield from self.projection_violations()
        if self.rnn_spec().reads_backwards:
            yield "bidirectional", "true", "false: a language model cannot read what comes next"
        if self.output_residual:
            yield "output_residual", "true", "false: a language model's input are ids, which logits cannot be added to"
        yield from self.input_violations(f"embedding_size ({self.embedding_size}), or input_projection true")
        yield from self.connection_violations()
        yield from self.embedding_violations(tied=self.tie_weights)
        yield from self.padding_violations(self.special_tokens)
        if self.tie_weights and self.features_size != self.embedding_size:
            expected = f"false: the output layer reads {self.features_size} numbers, an embedding has "
            yield "tie_weights", "true", f"{expected}{self.embedding_size}"
