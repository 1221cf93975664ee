"""Decorator that fails an async test after a time limit."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec

P = ParamSpec("P")


def within(seconds: float) -> Callable[[Callable[P, Awaitable[None]]], Callable[P, Awaitable[None]]]:
    """Fail an async test that takes longer than `seconds`."""

    def decorate(test: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
        @functools.wraps(test)
        async def bounded(*arguments: P.args, **fixtures: P.kwargs) -> None:
            async with asyncio.timeout(seconds):
                await test(*arguments, **fixtures)

        return bounded

    return decorate
