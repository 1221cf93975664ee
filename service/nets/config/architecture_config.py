"""Base classes of the configurations of architectures: of all, of those with windows, and with padded ones."""

import json
from abc import abstractmethod
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Protocol

from pydantic import Field

from service.nets.config.rnn_spec import DType, StateSpec
from service.nets.config.sections import MAX_LAYERS, HeadConfig, StateEntry, Violation
from service.nets.config.strict_model import StrictModel

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
