import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from store_support import Observed

from service.store import EmbeddedServer, RedisStore, make_client


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One real server for the whole session of tests."""
    server = EmbeddedServer(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[[str], EmbeddedServer]]:
    """Starts servers that a test may break."""
    started: list[EmbeddedServer] = []

    def start(name: str) -> EmbeddedServer:
        server = EmbeddedServer(tmp_path / name)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
async def client(server: EmbeddedServer) -> AsyncIterator[Redis]:
    client = make_client(server.url)
    yield client
    await client.aclose()


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def observed() -> Observed:
    return Observed()


@pytest.fixture
async def store(client: Redis, prefix: str, observed: Observed) -> AsyncIterator[RedisStore]:
    store = RedisStore(client, observed, prefix=prefix)
    yield store
    await store.aclose()


@pytest.fixture
async def connect(observed: Observed) -> AsyncIterator[Callable[[str], RedisStore]]:
    """Makes stores on servers of the test's own."""
    clients: list[Redis] = []

    def make(url: str) -> RedisStore:
        client = make_client(url)
        clients.append(client)
        return RedisStore(client, observed, prefix="test")

    yield make
    for client in clients:
        await client.aclose()
