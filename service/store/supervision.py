"""Runs store calls with metrics, and finishes writes whose caller was cancelled."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from service.domain.errors import StateCorrupted, StoreUnavailable, Unavailable, UnrollError, WriteConflict
from service.store.observer import StoreObserver

_T = TypeVar("_T")


class Operations:
    """Runs operations, reports them to `observer`, and waits for shielded ones at the end."""

    def __init__(self, observer: StoreObserver) -> None:
        self._observer = observer
        self._shielded: set[asyncio.Task[Any]] = set()

    async def observe(self, name: str, operation: Coroutine[Any, Any, _T]) -> _T:
        """Await `operation` and report its duration, its error and whether the store is up."""
        started = time.monotonic()
        up: bool | None = True
        try:
            return await operation
        except asyncio.CancelledError:
            up = None  # an abandoned operation says nothing about the store
            raise
        except (Unavailable, StateCorrupted) as error:
            up = not isinstance(error, StoreUnavailable)
            self._observer.store_error(error.code)
            raise
        finally:
            if up is not None:
                self._observer.store_call(name, time.monotonic() - started)
                self._observer.store_up(up)

    async def shield(self, operation: Coroutine[Any, Any, _T]) -> _T:
        """Run `operation` in a task that continues if the caller is cancelled."""
        task = asyncio.get_running_loop().create_task(_catch(operation))
        self._shielded.add(task)
        task.add_done_callback(self._shielded.discard)
        result = await asyncio.shield(task)
        if isinstance(result, UnrollError | WriteConflict):
            raise result
        return result

    async def drain(self) -> None:
        """Return when no shielded operation is running."""
        while self._shielded:
            await asyncio.wait(self._shielded)


async def _catch(operation: Coroutine[Any, Any, _T]) -> _T | UnrollError | WriteConflict:
    """Return the result or the error: asyncio would log an error that no caller is left to retrieve."""
    try:
        return await operation
    except (UnrollError, WriteConflict) as error:
        return error
