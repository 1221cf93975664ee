"""Buckets of tokens on a real server."""

import asyncio
import time
from collections.abc import Callable

import pytest
from redis.asyncio import Redis
from store_support import WAIT_SECONDS

from service.domain.errors import StoreUnavailable
from service.store import EmbeddedServer, Topology, connect
from service.store.token_buckets import RedisTokenBuckets

everywhere = pytest.mark.parametrize("deployment", ["single", "cluster"], indirect=True, scope="session")


@everywhere
async def test_workers_take_from_one_bucket_what_is_there(topology: Topology, prefix: str) -> None:
    workers = [RedisTokenBuckets(topology, prefix=prefix, timeout=WAIT_SECONDS) for _ in range(2)]
    bucket = {"rate": 10.0, "size": 10.0}
    grants = [await worker.take("alice", "requests", **bucket, needed=1.0, wanted=4.0) for worker in workers]
    assert [grant.taken for grant in grants] == [4.0, 4.0]
    assert grants[0].left == pytest.approx(6.0, abs=0.01)
    last = await workers[0].take("alice", "requests", **bucket, needed=1.0, wanted=4.0)
    assert 2.0 <= last.taken < 4.0
    refused = await workers[1].take("alice", "requests", **bucket, needed=3.0, wanted=3.0)
    assert refused.taken == 0.0
    assert 0.0 < refused.wait <= 0.3
    assert (await workers[0].take("bob", "requests", **bucket, needed=1.0, wanted=4.0)).taken == 4.0
    await asyncio.to_thread(time.sleep, refused.wait)
    assert (await workers[1].take("alice", "requests", **bucket, needed=3.0, wanted=3.0)).taken >= 3.0


@everywhere
async def test_a_need_beyond_the_bucket_empties_it_for_longer(topology: Topology, prefix: str) -> None:
    buckets = RedisTokenBuckets(topology, prefix=prefix, timeout=WAIT_SECONDS)
    grant = await buckets.take("alice", "cost", rate=10.0, size=10.0, needed=25.0, wanted=25.0)
    assert grant.taken == 25.0
    refused = await buckets.take("alice", "cost", rate=10.0, size=10.0, needed=1.0, wanted=1.0)
    assert 1.4 < refused.wait <= 1.6


@everywhere
async def test_a_bucket_that_is_full_again_is_forgotten(topology: Topology, prefix: str, client: Redis) -> None:
    buckets = RedisTokenBuckets(topology, prefix=prefix, timeout=WAIT_SECONDS)
    await buckets.take("alice", "requests", rate=10.0, size=10.0, needed=1.0, wanted=10.0)
    assert 1000 < await client.pttl(f"{prefix}:{{rate:alice}}:requests") <= 2001


async def test_a_store_that_is_away_is_told(start_server: Callable[[str], EmbeddedServer]) -> None:
    server = start_server("away")
    topology = connect(server.url)
    server.stop()
    buckets = RedisTokenBuckets(topology, prefix="test", timeout=0.5)
    with pytest.raises(StoreUnavailable):
        await buckets.take("alice", "requests", rate=10.0, size=10.0, needed=1.0, wanted=1.0)
    await topology.aclose()
