"""A thread for long computations, such as the parsing of large bodies and the making of large answers.

They take up to a second. In a thread, Python takes turns between them and the event loop.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

ResultT = TypeVar("ResultT")

#: Bodies above this size are parsed in a thread. Smaller ones take less than a millisecond.
LARGE_BODY_BYTES = 16_384
#: A client rests for so many times as long as the parsing of its large body took. What it asks for takes longer.
LARGE_BODY_REST = 4.0


@dataclass(slots=True)
class Turn:
    """The turn of a client in the thread; `seconds` is the processor time that its functions have taken."""

    executor: ThreadPoolExecutor
    seconds: float = 0.0

    async def run(self, function: Callable[[], ResultT]) -> ResultT:
        """Return what `function` returns, or raise what it raises."""

        def measured() -> ResultT:
            started = time.thread_time()
            try:
                return function()
            finally:
                self.seconds += time.thread_time() - started

        return await asyncio.get_running_loop().run_in_executor(self.executor, measured)


class FairThread:
    """One thread that serves many clients in turn: each client has one turn at a time.

    After each turn the client rests for `rest` times its processor time. A thread that computes all the time slows
    the event loop down, which has to wait for Python whenever a forward pass has finished an operation on tensors.
    Several threads would slow it down further.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="computation")
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, client: str, function: Callable[[], ResultT], *, rest: float = 0) -> ResultT:
        """Return what `function` returns, or raise what it raises."""
        async with self.turn(client, rest=rest) as turn:
            return await turn.run(function)

    @asynccontextmanager
    async def turn(self, client: str, *, rest: float = 0) -> AsyncIterator[Turn]:
        """Wait for the client's turn, for functions that follow each other."""
        await self._enter(client)
        turn = Turn(self._executor)
        try:
            yield turn
        finally:
            asyncio.get_running_loop().call_later(rest * turn.seconds, self._leave, client)

    async def _enter(self, client: str) -> None:
        """Wait for the client's turn."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # turns that a former event loop of this process did not end
            self._loop, self._waiting = loop, {}
        if client not in self._waiting:
            self._waiting[client] = deque()
            return
        turn = loop.create_future()
        self._waiting[client].append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(client)
            raise

    def _leave(self, client: str) -> None:
        """End a turn of a client and begin its next one."""
        waiting = self._waiting[client]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[client]


#: The thread of this process.
THREAD = FairThread()


async def run_sized(
    client: str, size: int, function: Callable[[], ResultT], *, rest: float = LARGE_BODY_REST
) -> ResultT:
    """Return what `function` makes of, or to, a body of `size` bytes of a client: in a thread if it is large."""
    if size <= LARGE_BODY_BYTES:
        return function()
    return await THREAD.run(client, function, rest=rest)
