"""Stopping the parts of a worker, and tasks that run beside them. Each part stops, whatever becomes of the others."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine

log = logging.getLogger(__name__)

#: Time between repeated cancellations of a background task that has not ended.
CANCEL_RETRY_SECONDS = 0.1


def run_in_background(stack: contextlib.AsyncExitStack, name: str, coroutine: Coroutine[None, None, None]) -> None:
    """Run a coroutine as a task until the stack unwinds; an error that ends it is logged."""
    task = asyncio.create_task(coroutine, name=name)
    task.add_done_callback(_log_failure)
    stack.push_async_callback(stop_part, name, lambda: _cancel(task))


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("background task failed", extra={"task": task.get_name()}, exc_info=error)


async def _cancel(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end."""
    # asyncio.wait_for of Python 3.11, which redis-py calls, can swallow a cancellation.
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_RETRY_SECONDS)


async def stop_part(part: str, stop: Callable[[], Coroutine[None, None, None]]) -> None:
    """Stop a part, even if the caller is cancelled meanwhile.

    A failure is logged, because an exit stack raises only the last one of several.
    """
    try:
        await _finish(stop())
    except Exception as error:
        log.error("part failed to stop", extra={"part": part}, exc_info=error)
        raise


async def _finish(coroutine: Coroutine[None, None, None]) -> None:
    """Await a coroutine to its end, and only then raise a cancellation of the caller."""
    task = asyncio.ensure_future(coroutine)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancellation = error
    task.result()
    if cancellation is not None:
        raise cancellation
