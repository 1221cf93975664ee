"""Base classes of the configurations of architectures: of all, of sequences, of windows, and of padded ones."""

import json
from abc import abstractmethod
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Protocol

from pydantic import Field

from service.nets.config.feed_forward import Size
from service.nets.config.rnn_spec import DType, StateSpec
from service.nets.config.sections import (
    MAX_LAYERS,
    PREPROCESSOR_FILE,
    TOKENIZER_FILE,
    HeadConfig,
    Names,
    SpecialTokens,
    StateEntry,
    Violation,
)
from service.nets.config.strict_model import StrictModel
from service.nets.config.task_outputs import TaskOutputs

#: The longest window: a timestep feeds all of it, while the operations of others wait.
MAX_WINDOW = 1024
WindowSize = Annotated[int, Field(ge=1, le=MAX_WINDOW)]


class LayerSummary(Protocol):
    """The layers that advance a session, as model lists describe them."""

    @property
    def cell(self) -> str: ...
    @property
    def total_layers(self) -> int: ...
    @property
    def hidden_size(self) -> int | list[int]: ...


class ArchitectureConfig(StrictModel):
    """The fields that config.json has for every architecture.

    Subclasses declare `task` and `architecture` as literals.
    """

    #: Whether the network translates, so that its model card can name a source and a target language.
    translates: ClassVar[bool] = False

    format_version: Literal[1]
    task: str
    architecture: str
    dtype: DType = "float32"
    #: Stated, although it follows from the sizes: a changed layout must be noticed, since stored sessions outlive it.
    state: Annotated[list[StateEntry], Field(max_length=4 * MAX_LAYERS + 8)] | None = None

    @property
    def companion_files(self) -> tuple[str, ...]:
        """The names of the files that decide how inputs and outputs are read; they belong to the fingerprint."""
        return ()

    @property
    def rows_per_input(self) -> int:
        """The number of rows that the recurrent layers read for one input."""
        return 1

    @property
    def vector_size(self) -> int | None:
        """The number of numbers of the vector that a sequence begins with, None without one."""
        return None

    @property
    @abstractmethod
    def session_layers(self) -> LayerSummary:
        """The recurrent layers that advance a session, which model lists describe."""

    @abstractmethod
    def session_state(self) -> list[StateSpec]:
        """Return the tensors that a session stores."""

    def state_violation(self) -> Violation | None:
        """Return the violation of a `state` that differs from what the other fields imply."""
        expected = [spec.to_dict() for spec in self.session_state()]
        if self.state is None:
            return "state", "nothing", json.dumps(expected)
        stated = [entry.model_dump() for entry in self.state]
        return None if stated == expected else ("state", json.dumps(stated), json.dumps(expected))

    @abstractmethod
    def violations(self) -> Iterator[Violation]:
        """Yield the fields that are valid on their own but contradict each other."""


class SequenceConfig(ArchitectureConfig, TaskOutputs):
    """The fields of a network that answers sequences: of tokens if there is a vocabulary, else of rows of numbers."""

    #: Special tokens that are fed or looked up. Others would change nothing.
    sequence_roles: ClassVar[tuple[str, ...]] = ("unknown", "begin", "pad")

    vocab_size: Size | None = None
    special_tokens: SpecialTokens = Field(default={})
    features: Names = Field(default=[])
    missing_indicator: bool = False

    @property
    def reads_text(self) -> bool:
        """Whether the inputs are tokens; else they are rows of numbers."""
        return self.vocab_size is not None

    @property
    def row_width(self) -> int:
        """The number of numbers of a row, those that tell which values are missing included."""
        return len(self.features) * (2 if self.missing_indicator else 1)

    @property
    def input_file(self) -> str:
        """The name of the file that decides how inputs are read."""
        return TOKENIZER_FILE if self.reads_text else PREPROCESSOR_FILE

    def sequence_violations(self) -> Iterator[Violation]:
        """Yield the fields that contradict what the network reads."""
        yield from self._text_violations() if self.reads_text else self._number_violations()

    def _text_violations(self) -> Iterator[Violation]:
        if self.features:
            yield "features", self.features, "none: vocab_size says that the network reads text"
        if self.missing_indicator:
            yield "missing_indicator", "true", "false: no token of a text is missing"
        if foreign := [role for role in self.special_tokens if role not in self.sequence_roles]:
            yield "special_tokens", foreign[0], f"only the roles {', '.join(self.sequence_roles)}"

    def _number_violations(self) -> Iterator[Violation]:
        if not self.features:
            yield "features", "nothing", "names of the numbers of a row, or vocab_size for text"
        if self.special_tokens:
            yield "special_tokens", sorted(self.special_tokens), "none: the network reads numbers"
        if len(set(self.features)) != len(self.features):
            yield "features", self.features, "each name once"


class PaddingConfig(StrictModel):
    """Filling of windows with fewer than `length` inputs by a token of the vocabulary, on one side."""

    side: Literal["left", "right"]
    token: Annotated[str, Field(min_length=1, max_length=256)]
    length: WindowSize


class WindowConfig(ArchitectureConfig, HeadConfig):
    """The fields of an architecture whose networks can read windows."""

    window: WindowSize | None = None

    @property
    def window_size(self) -> int | None:
        """The number of inputs that an answer is computed from, or None for all since the beginning."""
        return self.window

    @property
    def rows_per_input(self) -> int:
        """The number of rows that the recurrent layers read for one input."""
        return self.window_size or 1

    @property
    def stores_features(self) -> bool:
        """Whether a session stores the features, since its other tensors do not contain them."""
        return self.window_size is not None or super().stores_features

    def convolution_violations(self) -> Iterator[Violation]:
        """Yield a convolution that reads later timesteps, of a network that answers each timestep without a window."""
        ahead = [index for index, layer in enumerate(self.convolution) if layer.reads_ahead]
        if ahead and self.window_size is None:
            expected = "causal or valid, or a window: without one, an answer cannot read the timesteps behind it"
            yield f"convolution.{ahead[0]}.padding", "same", expected

    def window_state(self, input_shape: tuple[int, ...], max_id: int | None = None) -> list[StateSpec]:
        """Return the window of inputs of this shape, nothing if there is none.

        Inputs are whole numbers up to `max_id`, if that is given.
        """
        size = self.window_size
        if size is None:
            return []
        return [StateSpec("window", (size, *input_shape), maximum=max_id), StateSpec("inputs", (1,), maximum=size)]

    def stream_state(self, input_shape: tuple[int, ...], max_id: int | None = None) -> list[StateSpec]:
        """Return the recurrent tensors or the window, see `window_state`, and the features where needed."""
        state = self.window_state(input_shape, max_id) or self.rnn_spec().state()
        return [*state, StateSpec("features", (self.features_size,))] if self.stores_features else state


class PaddedWindowConfig(WindowConfig):
    """The fields of an architecture whose networks can read padded windows of tokens."""

    padding: PaddingConfig | None = None

    @property
    def window_size(self) -> int | None:
        """The number of inputs that an answer is computed from, or None for all since the beginning."""
        return self.window if self.padding is None else self.padding.length

    def padding_violations(self, special_tokens: dict[str, str]) -> Iterator[Violation]:
        """Yield the fields that contradict `padding`."""
        if self.padding is None:
            return
        if self.window not in {None, self.padding.length}:
            yield "window", self.window, f"{self.padding.length}, the length of padding, or no window beside padding"
        pad = special_tokens.get("pad", self.padding.token)
        if pad != self.padding.token:
            yield "padding.token", self.padding.token, f"{pad}, the pad of special_tokens"
