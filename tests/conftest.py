"""Fixtures of all tests: async tests run on asyncio, as the service does."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


#: The event loop of a worker, for tests that depend on it: `@pytest.mark.parametrize("anyio_backend", [UVLOOP])`.
UVLOOP = ("asyncio", {"use_uvloop": True})
