"""Base class of the configurations of all architectures."""

import json
from abc import abstractmethod
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Protocol

from pydantic import Field

from service.nets.config.rnn_spec import DType, StateSpec
from service.nets.config.sections import MAX_LAYERS, StateEntry, Violation
from service.nets.config.strict_model import StrictModel


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
