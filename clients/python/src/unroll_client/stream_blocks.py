"""`with` blocks of streams of steps."""

from types import TracebackType
from typing import Protocol, Self


class _Stream(Protocol):
    def drain(self) -> None: ...

    def close(self) -> None: ...


class _AsyncStream(Protocol):
    async def drain(self) -> None: ...

    async def close(self) -> None: ...


class StreamBlock:
    """Base class of streams whose block waits for all results, or closes the stream if an exception leaves it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self: _Stream,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        (self.drain if kind is None else self.close)()


class AsyncStreamBlock:
    """Base class of streams whose block waits for all results, or closes the stream if an exception leaves it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self: _AsyncStream,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await (self.drain if kind is None else self.close)()
