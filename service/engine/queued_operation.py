"""Operations in the engine's queue, and the interfaces of those who wait for them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from service.domain.errors import InvalidRequest
from service.domain.models import ModelVersion
from service.domain.operations import GeneratedToken, Outcome
from service.engine.loaded_models import LoadedModel
from service.tasks.base import RunningOperation, TokenSource


class TokenReceiver(Protocol):
    """Receives the tokens of a generation while it runs; `started` is the time at which they were requested."""

    @property
    def started(self) -> float: ...
    @property
    def has_tokens(self) -> bool: ...
    def put(self, tokens: Sequence[GeneratedToken]) -> None: ...


class Trace(Protocol):
    """Trace of an operation, in phases that follow each other."""

    def begin(self, phase: str) -> None: ...


class Job(Protocol):
    """Whoever waits for an operation."""

    @property
    def trace(self) -> Trace | None: ...
    @property
    def client(self) -> str: ...
    @property
    def deadline(self) -> float | None: ...
    @property
    def receiver(self) -> TokenReceiver | None: ...
    def abandoned(self) -> bool: ...


#: The outcome of an operation, or its failure.
Result: TypeAlias = "Outcome | Exception"
#: Receives the jobs whose operations ended with one forward pass, and their results.
Deliver: TypeAlias = "Callable[[Sequence[tuple[Any, Result]]], None]"


@dataclass(slots=True, eq=False)
class QueuedOperation:
    """A running operation, the job that waits for it, and what delivers its result."""

    loaded: LoadedModel
    operation: RunningOperation
    job: Job
    deliver: Deliver
    submitted: float
    #: Of a streamed generation: the operation, and whatever receives its tokens.
    stream: tuple[TokenSource, TokenReceiver] | None
    started: bool = field(default=False)

    @property
    def group(self) -> str:
        return self.loaded.version.fingerprint

    @property
    def client(self) -> str:
        return self.job.client

    @property
    def next_cost(self) -> int:
        return self.operation.next_cost

    @property
    def deadline(self) -> float | None:
        return self.job.deadline

    def abandoned(self) -> bool:
        return self.job.abandoned()


def token_source(model: ModelVersion, operation: RunningOperation) -> TokenSource:
    """Return an operation whose tokens can be streamed. Raises InvalidRequest for any other."""
    if not isinstance(operation, TokenSource):
        raise InvalidRequest(f"the answers of model {model.name} cannot be streamed", param="options.stream")
    return operation
