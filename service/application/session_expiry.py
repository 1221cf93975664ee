"""Watch over sessions that are waited on: tells when one has ended, although nobody asks for it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from service.application.ports import Clock
from service.application.sessions.sessions import Sessions
from service.domain.errors import StateCorrupted, Unavailable, UnrollError

#: Interval of the sweeps, and so how late the end of a session may be noticed.
SWEEP_SECONDS = 1.0
#: Time after which a session is looked up again if the store's clock is behind this worker's.
RECHECK_MS = 1000


@dataclass(slots=True, eq=False)
class _Watched:
    """A session, when it is to be looked up next, and who is told of its end."""

    tenant: str
    session_id: str
    due: int
    on_end: Callable[[UnrollError], None]


class SessionExpiry:
    """Watched sessions. One sweep looks at all of them, and reads those whose time to live should be over.

    Steps and renewals by other workers move the end of a session, and the store's clock decides it. So only the store
    is believed: a session that is in use costs one read in its time to live. Use it within the event loop.
    """

    def __init__(self, sessions: Sessions, clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock
        self._watched: set[_Watched] = set()
        self._task: asyncio.Task[None] | None = None

    def watch(
        self, tenant: str, session_id: str, expires_at: int, on_end: Callable[[UnrollError], None]
    ) -> Callable[[], None]:
        """Call `on_end` with the error of a session that has ended; it is called again if it does not stop the watch.

        Returns the function that stops it. `expires_at` is in milliseconds since 1970.
        """
        watched = _Watched(tenant, session_id, expires_at, on_end)
        self._watched.add(watched)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._sweep_forever(), name="session expiry")

        def stop() -> None:
            self._watched.discard(watched)
            if not self._watched and self._task is not None:
                self._task.cancel()
                self._task = None

        return stop

    async def sweep(self) -> None:
        """Look up the sessions whose time to live should be over."""
        now = self._clock.now()
        for watched in [watched for watched in self._watched if watched.due <= now]:
            watched.due = now + RECHECK_MS
            try:
                record = await self._sessions.find(watched.tenant, watched.session_id)
            except Unavailable:
                return  # the others would wait for the store in vain, too
            except StateCorrupted:
                continue  # the client learns of it with its next step
            except UnrollError as error:
                if watched in self._watched:
                    watched.on_end(error)
            else:
                watched.due = max(watched.due, record.expires_at)

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self.sweep()
