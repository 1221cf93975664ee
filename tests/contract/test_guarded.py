"""Passwords and TLS, in every form of deployment; wrong ones are told without being shown."""

import asyncio
import gc
import re
import shutil
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from store_support import WAIT_SECONDS, Observed, make_record, stepped

from service.domain.errors import StoreUnavailable
from service.store import RedisStore, connect, warnings
from service.store.driver.pipeline import execute_pipeline
from service.store.driver.url import StoreUrl
from tests.certificates import Certificates, server_with_tls
from tests.clusters import clustered
from tests.deployments import Deployment, Guard, Server, documented_user, watched_by_sentinels

PASSWORD, OTHER = "right-one", "another-one"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Guard:
    program = server_with_tls()
    if program is None:
        pytest.skip("needs openssl and a redis-server with TLS on the PATH (apt-get install openssl redis-server)")
    certificates = Certificates.make(tmp_path_factory.mktemp("certificates") / "right")
    return Guard(PASSWORD, certificates, program)


@pytest.fixture
def alone(tmp_path: Path, tls: Guard) -> Iterator[Deployment]:
    deployment = Deployment()
    try:
        server = deployment.add(Server(tmp_path / "alone", guard=tls))
        deployment.url = tls.url("", [server], "/3")
        yield deployment
    finally:
        deployment.kill()


async def works(url: str, levels: tuple[str, ...] = ("memory",)) -> None:
    async with aclosing(connect(url, timeout=WAIT_SECONDS)) as topology:
        store = RedisStore(topology, Observed(), timeout=WAIT_SECONDS)
        await store.secret()
        for name in levels:
            for number in range(6):
                created = await store.create("tenant", f"{name}{number}", make_record(durability=name))
                assert (await store.write("tenant", f"{name}{number}", stepped(created))).step == 1
        assert await store.active() == 6 * len(levels)
        assert await warnings(topology) == []


async def refusal(url: str) -> str:
    """What the store says of a write, which was not applied."""
    async with aclosing(connect(url, timeout=3.0)) as topology:
        with pytest.raises(StoreUnavailable) as refused:
            await RedisStore(topology, Observed(), timeout=3.0).create("tenant", "id", make_record())
    assert refused.value.applied == "no"
    return refused.value.message


def test_every_documented_address_can_be_read(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    certificates = Certificates.make(tmp_path / "own").of_client
    paths = dict(zip(("ca", "crt", "key"), certificates.values(), strict=True))
    urls = re.findall(r"REDIS_URL='(.*)'", (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8"))
    read = [StoreUrl.parse(re.sub(r"/etc/unroll/(\w+)\.pem", lambda name: paths[name[1]], url)) for url in urls]
    forms = {url.partition(":")[0] for url in urls}
    assert {f"redis{tls}{kind}" for tls in ("", "s") for kind in ("", "+sentinel", "+cluster")} | {"unix"} == forms
    assert {address.options["password"] for address in read if "password" in address.options} == {"p@ss"}
    assert {address.master for address in read if address.kind == "sentinel"} == {"mymaster"}


async def test_one_server_over_tls_with_a_password_and_a_client_certificate(alone: Deployment) -> None:
    await works(alone.url)


async def test_whom_the_certificates_do_not_prove_is_told_nothing(
    alone: Deployment, tmp_path: Path, tls: Guard
) -> None:
    (server,) = alone.servers
    assert tls.certificates is not None
    strangers = Guard(PASSWORD, Certificates.make(tmp_path / "other")).url("", [server])
    without = f"rediss://:{PASSWORD}@127.0.0.1:{server.port}?ssl_ca_certs={tls.certificates.path('ca.crt')}"
    plain = Guard(PASSWORD).url("", [server])
    wrong = Guard(OTHER, tls.certificates).url("", [server])
    for url in (strangers, without, plain, wrong):
        message = await refusal(url)
        assert not [secret for secret in (PASSWORD, OTHER, "127.0.0.1", str(tmp_path)) if secret in message]


def test_a_connection_that_takes_too_long_is_closed_at_once(alone: Deployment) -> None:
    async def ping(seconds: float) -> float:
        async with aclosing(connect(alone.url)) as topology:
            loop = asyncio.get_running_loop()
            started_at = loop.time()
            (master,) = await topology.masters(started_at + 5)
            await execute_pipeline(master, [("PING",)], started_at + seconds)
            return loop.time() - started_at

    # What a connection leaves open, in whichever state the deadline meets it, is an error of the test.
    whole = asyncio.run(ping(5))
    for part in range(60):
        asyncio.run(ping(whole * part / 50))
    gc.collect()


async def test_sentinels_and_their_master_over_tls(tmp_path: Path, tls: Guard) -> None:
    theirs = replace(tls, password=OTHER)
    with watched_by_sentinels(tmp_path, guard=tls, sentinel_guard=theirs) as deployment:
        await works(deployment.url, ("memory", "replicated"))


async def test_a_cluster_over_tls(tmp_path: Path, tls: Guard) -> None:
    with clustered(tmp_path, guard=tls) as deployment:
        await works(deployment.url)


async def test_sentinels_have_a_password_of_their_own(tmp_path: Path) -> None:
    with watched_by_sentinels(tmp_path, guard=Guard(PASSWORD), sentinel_guard=Guard(OTHER)) as deployment:
        await works(deployment.url, ("memory", "replicated"))
        for right, wrong in ((PASSWORD, "no"), (OTHER, "no"), (f"sentinel_password={OTHER}", "")):
            message = await refusal(deployment.url.replace(right, wrong))
            assert PASSWORD not in message
            assert OTHER not in message


async def test_a_cluster_with_a_password(tmp_path: Path) -> None:
    with clustered(tmp_path, guard=Guard(PASSWORD)) as deployment:
        await works(deployment.url, ("memory", "fsynced"))
        assert PASSWORD not in await refusal(deployment.url.replace(PASSWORD, OTHER))


async def test_a_user_of_the_store_needs_no_more_than_the_documentation_says(tmp_path: Path) -> None:
    deployment = Deployment()
    try:
        server = deployment.add(Server(tmp_path / "server"))
        url = documented_user(server, PASSWORD)
        await works(url, ("memory", "fsynced"))
        async with aclosing(connect(url)) as topology:
            store = RedisStore(topology, Observed())
            record = await store.read("tenant", "fsynced0")
            assert record is not None
            await store.confirm("tenant", "fsynced0", record)
            assert len((await store.list("tenant", None, 10, None)).sessions) == 10
            assert await store.end("tenant", "memory0")
            await store.ping()
    finally:
        deployment.kill()
