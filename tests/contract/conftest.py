import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis, RedisCluster
from store_support import WAIT_SECONDS, Observed, make_client

from service.store import EmbeddedServer, RedisStore, Topology, connect
from tests.clusters import clustered
from tests.deployments import Deployment, watched_by_sentinels


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One real server for the whole session of tests."""
    server = EmbeddedServer(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The servers that `store` is on: one, unless a test is parametrised to run on others too."""
    kind = getattr(request, "param", "single")
    folder = tmp_path_factory.mktemp(kind)
    if kind == "single":
        yield Deployment(request.getfixturevalue("server").url)
    elif kind == "sentinel":
        with watched_by_sentinels(folder) as deployment:
            yield deployment
    else:
        with clustered(folder) as deployment:
            yield deployment


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
async def client(deployment: Deployment) -> AsyncIterator[Redis | RedisCluster]:
    """The driver's own client of the servers that `store` is on."""
    if deployment.url.startswith("redis+cluster"):
        client: Redis | RedisCluster = RedisCluster(host="127.0.0.1", port=deployment.servers[0].port, protocol=2)
    elif deployment.servers:
        client = make_client(f"redis://127.0.0.1:{deployment.servers[0].port}")
    else:
        client = make_client(deployment.url)
    yield client
    await client.aclose()


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def observed() -> Observed:
    return Observed()


@pytest.fixture
async def topology(deployment: Deployment) -> AsyncIterator[Topology]:
    topology = connect(deployment.url, timeout=WAIT_SECONDS)
    yield topology
    await topology.aclose()


@pytest.fixture
async def make_store(topology: Topology, prefix: str) -> AsyncIterator[Callable[..., RedisStore]]:
    """Makes further stores beside `store`, of other workers as it were."""
    async with AsyncExitStack() as stack:

        def make(observed: Observed | None = None, **options: Any) -> RedisStore:
            # The servers are never away, but a busy machine can make them slow.
            options = {"timeout": WAIT_SECONDS, **options}
            store = RedisStore(topology, observed or Observed(), prefix=prefix, **options)
            stack.push_async_callback(store.aclose)
            return store

        yield make


@pytest.fixture
async def store(make_store: Callable[..., RedisStore], observed: Observed) -> RedisStore:
    return make_store(observed)


@pytest.fixture
async def connected(observed: Observed) -> AsyncIterator[Callable[[str], RedisStore]]:
    """Makes stores on servers of the test's own."""
    async with AsyncExitStack() as stack:

        def make(url: str) -> RedisStore:
            topology = connect(url)
            stack.push_async_callback(topology.aclose)
            return RedisStore(topology, observed, prefix="test")

        yield make
