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

    async def observe_many(self, name: str, operation: Coroutine[Any, Any, list[_T]]) -> list[_T]:
        """Await an operation on several records, which returns errors as results; report each of them as `observe`."""
        started = time.monotonic()
        results = await operation
        seconds, up = time.monotonic() - started, True
        for result in results:
            self._observer.store_call(name, seconds)
            if isinstance(result, Unavailable | StateCorrupted):
                self._observer.store_error(result.code)
                up = up and not isinstance(result, StoreUnavailable)
        self._observer.store_up(up)
        return results

    async def shield(self, operation: Coroutine[Any, Any, _T]) -> _T:
        """Run `operation` in a task that continues if the caller is cancelled."""
        result = await asyncio.shield(self.start(operation))
        if isinstance(result, UnrollError | WriteConflict):
            raise result
        return result

    def start(self, operation: Coroutine[Any, Any, _T]) -> asyncio.Task[_T | UnrollError | WriteConflict]:
        """Run `operation` in a task that nobody need await."""
        task = asyncio.get_running_loop().create_task(_catch(operation))
        self._shielded.add(task)
        task.add_done_callback(self._shielded.discard)
        return task

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
