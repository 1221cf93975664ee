"""Base class of the configurations of all architectures."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.nets.config.rnn_spec import DType, StateSpec
from service.nets.config.sections import MAX_LAYERS, RnnConfig, StateEntry, Violation
from service.nets.config.strict_model import StrictModel


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
    def session_layers(self) -> RnnConfig:
        """The recurrent layers that advance a session, which model lists describe."""

    @abstractmethod
    def session_state(self) -> list[StateSpec]:
        """Return the tensors that a session stores."""

    @abstractmethod
    def violations(self) -> Iterator[Violation]:
        """Yield the fields that are valid on their own but contradict each other."""
