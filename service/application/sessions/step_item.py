"""A step on its way through the pipeline, as plain data."""

from collections.abc import Callable
from dataclasses import dataclass

from service.application.deadlines import Deadline
from service.application.limits.request_cost import RequestCost
from service.application.ports import TokenReceiver, Trace
from service.application.sessions.idempotency import RequestIdentity
from service.application.sessions.request_digest import digest
from service.application.sessions.serializers import StepResponse
from service.domain.errors import Applied, UnrollError
from service.domain.models import ModelVersion
from service.domain.operations import Generate, Predict, Reset
from service.domain.sessions import Record, SessionKey


@dataclass(frozen=True, slots=True)
class SequenceBoundary:
    """Boundary of a sequence, a session under a name of its client.

    `first` is the record of state 0 that the step starts from if it begins the sequence, anew if there is such a
    session already; None if it does not. `ends`: the session ends with the step.
    """

    first: Record | None
    ends: bool


@dataclass(frozen=True, slots=True)
class Step:
    """Request to advance a session. `step` is the expected step count, `key` the Idempotency-Key.

    `boundary` is that of a step that begins or ends a sequence.
    """

    session_id: str
    operation: Predict | Generate
    step: int | None = None
    key: str | None = None
    boundary: "SequenceBoundary | None" = None

    def identity(self) -> RequestIdentity:
        """Return the identity by which a repetition of this request is recognised.

        A request with neither a key nor a step count is no repetition of any other, so it needs no digests.
        """
        if self.step is None and self.key is None:
            return RequestIdentity(None, b"", b"")
        key = b"" if self.key is None else digest("key", self.key)
        return RequestIdentity(self.step, key, digest("step", self.operation, self.step))


@dataclass(frozen=True, slots=True)
class ResetStep:
    """Request to reset a session, by a step that feeds nothing. `key` is the Idempotency-Key."""

    session_id: str
    operation: Reset
    key: str | None = None

    def identity(self) -> RequestIdentity:
        """Return the identity by which a repetition of this request is recognised; without a key there is none."""
        if self.key is None:
            return RequestIdentity(None, b"", b"")
        return RequestIdentity(None, digest("key", self.key), digest("reset", self.operation))


@dataclass(slots=True, eq=False)
class StepItem:
    """A step in the pipeline. Stages fill it in; `result` is set once, by whichever stage ends it.

    Attributes:
        time_limit: the deadline of the request.
        cost: the account of the request, to which the operation's cost is added.
        on_result: called once, when `result` is set.
        boundary: that of a step that begins or ends a sequence.
        trace: that of the request, if it is traced.
        models: those that the sender may use, all if that is None.
        receiver: whatever receives the tokens of a generation as they come.
        applied: whether the step took effect, as far as is known.
        in_turn: whether the item holds the turn of its session.
        committing: whether its record is being written. Until the store has answered, the turn is not given up.
        begins: whether the step begins a sequence, in place of the session `replaced` if there is one.
        record: the record that the step continues from.
        next_record: the record that it leaves.
        answer: the body of the response, which is sent once `next_record` is stored.
    """

    session: SessionKey
    operation: Predict | Generate | Reset
    identity: RequestIdentity
    time_limit: Deadline
    cost: RequestCost
    on_result: Callable[[], None]
    receiver: TokenReceiver | None = None
    boundary: SequenceBoundary | None = None
    trace: Trace | None = None
    models: frozenset[str] | None = None
    begins: bool = False
    replaced: Record | None = None
    result: StepResponse | UnrollError | None = None
    applied: Applied = "no"
    in_turn: bool = False
    committing: bool = False
    record: Record | None = None
    model: ModelVersion | None = None
    next_record: Record | None = None
    answer: bytes = b""

    @property
    def client(self) -> str:
        """The client of the request, for the engine's fairness."""
        return self.cost.client

    @property
    def deadline(self) -> float:
        """The end of the time limit in seconds on the monotonic clock."""
        return self.time_limit.at

    def abandoned(self) -> bool:
        """Return whether the step has ended, so that its operation need not run."""
        return self.result is not None

    def settle(self, result: StepResponse | UnrollError) -> bool:
        """Set the result, and return whether it was the first one."""
        if self.result is not None:
            return False
        self.result = result
        if self.trace is not None:
            self.trace.end()
        self.on_result()
        return True
