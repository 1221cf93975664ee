"""Turns of sessions: overlapping steps of one session are taken one after the other, in arrival order."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from service.application.deadlines import Deadline
from service.domain.sessions import SessionKey

#: Called when a turn comes. Returns whether the turn is used: then `leave` ends it, else the next one starts at once.
Start: TypeAlias = "Callable[[], bool]"


class SessionTurns:
    """First-in-first-out queues, one per busy session; idle sessions need no memory."""

    def __init__(self) -> None:
        self._waiting: dict[SessionKey, deque[Start]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self, session: SessionKey, start: Start) -> None:
        """Call `start` when all that entered before have left: at once if there are none."""
        waiting = self._waiting.get(session)
        if waiting is not None:
            waiting.append(start)
            return
        self._waiting[session] = deque()
        if not start():
            self.leave(session)

    def leave(self, session: SessionKey) -> None:
        """End the present turn and start the next one."""
        waiting = self._waiting[session]
        while waiting:
            if waiting.popleft()():
                return
        del self._waiting[session]

    @asynccontextmanager
    async def hold(self, session: SessionKey, deadline: Deadline) -> AsyncIterator[None]:
        """Hold a turn for the block. Raises DeadlineExceeded if the deadline passes before it comes."""
        turn = asyncio.get_running_loop().create_future()

        def start() -> bool:
            if turn.done():  # whoever waited has gone
                return False
            turn.set_result(None)
            return True

        self.enter(session, start)
        try:
            async with deadline.enforce():
                await asyncio.shield(turn)
            yield
        finally:
            if turn.done():
                self.leave(session)
            else:
                turn.cancel()
