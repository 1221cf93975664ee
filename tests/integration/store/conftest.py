"""A service of one worker on a store of its own, which a test may stop or fill with damaged records."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.store import EmbeddedServer
from tests.server import Server, short_folder, tiny_models


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[EmbeddedServer]:
    store = EmbeddedServer(folder / "store")
    store.start()
    yield store
    store.stop()


@pytest.fixture(scope="module")
def server(folder: Path, store: EmbeddedServer) -> Iterator[Server]:
    with Server(folder, models=tiny_models(folder / "models"), redis_url=store.url) as running:
        yield running


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client
