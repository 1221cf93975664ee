"""A worker with short times and few connections, and an innocent client beside every attack on it."""

from collections.abc import Iterator

import httpx
import pytest

from tests.integration.process.attacks import (
    HEADER_SECONDS,
    IDLE_SECONDS,
    MAX_CONNECTIONS,
    MAX_GROWTH_BYTES,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    WRITE_SECONDS,
    resident_bytes,
)
from tests.server import NEW_CONNECTIONS, Server, eventually, post, short_folder, tiny_models


@pytest.fixture(scope="session")
def small() -> Iterator[Server]:
    """One worker with short times and few connections."""
    limits = {
        "max_connections": MAX_CONNECTIONS,
        "max_header_bytes": MAX_HEADER_BYTES,
        "max_headers": MAX_HEADERS,
        "header_timeout_seconds": HEADER_SECONDS,
        "keep_alive_seconds": IDLE_SECONDS,
        "write_timeout_seconds": WRITE_SECONDS,
        "min_body_bytes_per_second": 1000,
    }
    with short_folder() as folder, Server(folder, models=tiny_models(folder / "models"), **limits) as server:
        yield server


@pytest.fixture
def innocent(small: Server) -> Iterator[None]:
    """Another client is answered after every attack, by the same worker, which holds nothing of the attack."""
    (worker,) = small.worker_pids()
    before = resident_bytes(worker)
    yield
    with httpx.Client(base_url=small.url, timeout=30, headers=NEW_CONNECTIONS) as http:
        eventually(lambda: post(http, "/v1/models/tiny/predict", {"input": {"text": "the dog"}}).status_code == 200)
        assert small.worker_pids() == [worker]
        assert resident_bytes(worker) - before < MAX_GROWTH_BYTES
    assert "Traceback" not in small.log
