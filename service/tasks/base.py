"""What those who run operations need of a task and of its operations under way, whichever task it is."""

from typing import Any, Protocol, TypeAlias, TypeVar

from torch import Tensor

from service.domain.operations import Operation, Outcome
from service.tasks.imported_tensors import ImportedTensors

#: A task's own kinds of state, operation under way, and share of a timestep. Who runs them looks into none.
S = TypeVar("S")
Q = TypeVar("Q", bound="RunningOperation")
R = TypeVar("R")


class RunningOperation(Protocol):
    """An operation under way; tasks know more of theirs."""

    #: The task's state after it; None where the operation leaves none.
    state: Any
    finished: bool

    def receive(self, share: Any, /) -> None:  # noqa: ANN401 each task hands its own kind to its own operations
        """Take the result of a timestep."""

    def outcome(self, state: bytes) -> Outcome:
        """The result of a finished operation, with its state as bytes."""


class Task(Protocol[S, Q, R]):
    """What turns operations into ones under way, and runs them."""

    @property
    def initial_state(self) -> S:
        """State 0, as far as there is one without input."""

    @property
    def state_bytes(self) -> int:
        """How much a session stores, apart from what grows with its input."""

    def to_bytes(self, state: S) -> bytes:
        """A state as a session stores it."""

    def from_bytes(self, raw: bytes) -> S:
        """The state that a session stored. Raises StateCorrupted."""

    def to_tensors(self, state: S) -> dict[str, Tensor]:
        """A state by name, as it is exported."""

    def from_tensors(self, given: ImportedTensors) -> S:
        """The state that was exported so. Raises InvalidRequest for what does not fit."""

    def start(self, operation: Operation, state: S) -> Q:
        """Check and encode an operation. Raises InvalidRequest and its kinds."""

    def forward(self, batch: list[Q]) -> list[R]:
        """Run one timestep for all of `batch` without changing any of them."""


AnyTask: TypeAlias = Task[Any, Any, Any]
