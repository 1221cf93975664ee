"""Flows: the logic of the client, written once for the synchronous and the asynchronous client.

A flow is a generator. It yields commands, such as an HTTP request or a pause, and receives their results. `run`
executes the commands one after the other and blocks; `run_async` awaits them. `blocking` and `awaiting` make methods of
flows, with the same signature and documentation.
"""

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")
Owner = TypeVar("Owner")


class Command(ABC, Generic[T]):
    """An action with a result of type `T`, in a blocking and in an asynchronous form."""

    @abstractmethod
    def run(self) -> T:
        """Execute the command, and block until it has ended."""

    @abstractmethod
    async def run_async(self) -> T:
        """Execute the command without blocking the event loop."""


Flow = Generator[Command[Any], Any, T]


def execute(command: Command[T]) -> Flow[T]:
    """Execute a command inside a flow: `result = yield from execute(command)`."""
    result: T = yield command
    return result


def run(flow: Flow[T]) -> T:
    """Run a flow to its end and return its result."""
    try:
        command = next(flow)
        while True:
            try:
                result = command.run()
            except Exception as error:  # noqa: BLE001 - the flow decides
                command = flow.throw(error)
            else:
                command = flow.send(result)
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        flow.close()


async def run_async(flow: Flow[T]) -> T:
    """Run a flow to its end and return its result."""
    try:
        command = next(flow)
        while True:
            try:
                result = await command.run_async()
            except Exception as error:  # noqa: BLE001 - the flow decides
                command = flow.throw(error)
            else:
                command = flow.send(result)
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        flow.close()


def blocking(plan: Callable[Concatenate[Owner, P], Flow[T]]) -> Callable[Concatenate[Owner, P], T]:
    """Return a method that runs the flow made by `plan`."""

    @functools.wraps(plan)
    def method(self: Owner, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run(plan(self, *args, **kwargs))

    return _with_signature(method, plan)


def awaiting(
    plan: Callable[Concatenate[Owner, P], Flow[T]],
) -> Callable[Concatenate[Owner, P], Coroutine[Any, Any, T]]:
    """Return a coroutine method that runs the flow made by `plan`."""

    @functools.wraps(plan)
    async def method(self: Owner, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await run_async(plan(self, *args, **kwargs))

    return _with_signature(method, plan)


Method = TypeVar("Method", bound=Callable[..., Any])


def _with_signature(method: Method, plan: Callable[..., Any]) -> Method:
    """Show the result of the flow as the return type of the method, as `help()` prints it."""
    signature = inspect.signature(plan)
    (result,) = getattr(signature.return_annotation, "__args__", (Any,))[-1:]
    method.__signature__ = signature.replace(return_annotation=result)  # type: ignore[attr-defined]
    return method
