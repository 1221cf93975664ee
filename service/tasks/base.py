"""Interfaces through which the engine runs the operations of any task."""

from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

from torch import Tensor

from service.domain.cost import Cost
from service.domain.operations import GeneratedToken, Operation, Outcome
from service.tasks.imported_tensors import ImportedTensors

#: Numbers of an answer that take as long as one row of a network of the reference size.
NUMBERS_PER_ROW = 1024
#: Rows of windows that one timestep feeds for an operation, unless a single window has more.
WINDOW_ROWS = 256

#: The task's own types of session state, running operation and step output. The engine treats them as opaque.
StateT = TypeVar("StateT")
OperationT = TypeVar("OperationT", bound="RunningOperation")
StepOutputT = TypeVar("StepOutputT")


def inputs_per_timestep(limit: int, rows_per_input: int) -> int:
    """Return how many inputs one timestep feeds for an operation: at most `limit`, fewer if each takes many rows."""
    return max(1, min(limit, WINDOW_ROWS // rows_per_input))


class RunningOperation(Protocol):
    """An operation in progress. It takes one timestep or several, until `finished`."""

    #: The session state after the operation; None if the operation leaves none.
    state: Any
    finished: bool

    @property
    def next_cost(self) -> int:
        """The cost of the next timestep, at least 1: about the number of rows that it feeds.

        It decides how many operations share a forward pass, and is what their clients are charged.
        """

    @property
    def outcome_cost(self) -> int:
        """The cost of `outcome`, in the same unit. That of a small answer is 0."""

    def update(self, step_output: Any, /) -> None:  # noqa: ANN401 each task hands its own type to its own operations
        """Apply the output of a timestep to the operation."""

    def outcome(self, state: bytes) -> Outcome:
        """Return the outcome of a finished operation, with `state` as its encoded state."""


@runtime_checkable
class TokenSource(Protocol):
    """An operation that generates tokens, which can be streamed."""

    def new_tokens(self) -> list[GeneratedToken]:
        """Return the tokens that were not returned before and are certain to be in the outcome.

        Those of all calls until the operation is finished are the tokens of the outcome.
        """


class StateCodec(Protocol[StateT]):
    """Converts the session states of a task to the bytes that a session stores and to named tensors, and back."""

    @property
    def state_bytes(self) -> int:
        """The size of a stored state in bytes, without the parts whose size depends on the input."""

    def to_bytes(self, state: StateT) -> bytes:
        """Return the bytes that a session stores."""

    def from_bytes(self, raw: bytes) -> StateT:
        """Return the state of the bytes of a session. Raises StateCorrupted if they are no state of this model."""

    def to_tensors(self, state: StateT) -> dict[str, Tensor]:
        """Return the tensors of a state by name, for export."""

    def from_tensors(self, tensors: ImportedTensors) -> StateT:
        """Return an imported state. Raises InvalidRequest for a tensor that does not fit."""


class Task(Protocol[StateT, OperationT, StepOutputT]):
    """One use of a network: starts operations and runs their timesteps in batches."""

    @property
    def state_codec(self) -> StateCodec[StateT]:
        """The encoding of the task's session states."""

    @property
    def initial_state(self) -> StateT:
        """The state before any input; None if a session of the task has no state without input."""

    def cost(self, operation: Operation, *, in_session: bool) -> Cost:
        """Return what an operation takes at most, from sizes alone; `in_session` if it starts from a session's state.

        It never raises: an operation that `start` rejects may have any cost.
        """

    def start(self, operation: Operation, state: StateT) -> OperationT:
        """Validate and encode an operation on `state`. Raises InvalidRequest or a subclass; nothing is computed."""

    def forward(self, batch: list[OperationT]) -> list[StepOutputT]:
        """Run one timestep for all operations and return one output for each. Operations are not modified."""


@runtime_checkable
class AnnotatedTask(Protocol):
    """A task with a note on how it runs, which the description of its model ends with."""

    @property
    def note(self) -> str: ...


AnyTask: TypeAlias = Task[Any, Any, Any]
