"""Clients behind a proxy: whose header is believed, and where the service says that it is found."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.types import ASGIApp

from service.bootstrap.worker import running_worker
from service.process.supervisor import warn_of_open_access
from service.process.worker import uvicorn_config
from service.settings import Settings, load
from tests.integration.access.worker import Client

KEYS: dict[str, Any] = {"api_keys": {"key": "alice"}, "max_wrong_keys": 2, "access_log": "off"}


@asynccontextmanager
async def behind(place: tuple[Path, str], **settings: Any) -> AsyncIterator[ASGIApp]:
    """The application as the server calls it, which trusts some proxies or none."""
    folder, url = place
    chosen = Settings(redis_url=url, models=folder / "models", **KEYS, **settings)
    async with running_worker(chosen) as worker:
        config = uvicorn_config(chosen, worker)
        config.load()
        yield cast("ASGIApp", config.loaded_app)


async def guess(app: ASGIApp, peer: str, forwarded: str) -> int:
    """Send a wrong key on a connection from `peer`."""
    answer = await Client(app, "wrong", peer).ask("GET", "/v1/models", headers={"x-forwarded-for": forwarded})
    return answer.status


async def test_addresses_that_a_trusted_proxy_tells_are_counted_each_for_itself(place: tuple[Path, str]) -> None:
    async with behind(place, trusted_proxies=("10.0.0.0/8", "127.0.0.1")) as app:
        assert [await guess(app, "10.1.2.3", "192.0.2.1") for _ in range(3)] == [401, 401, 429]
        assert await guess(app, "10.1.2.3", "192.0.2.2") == 401
        # What a client adds in front of what the proxy saw changes nothing, nor does another proxy.
        assert await guess(app, "10.1.2.3", "198.51.100.1, 192.0.2.1") == 429
        assert await guess(app, "::ffff:10.1.2.4", "192.0.2.1, 127.0.0.1") == 429
        # A client that is no proxy is what it is.
        assert [await guess(app, "192.0.2.9", f"198.51.100.{n}") for n in range(3)] == [401, 401, 429]


async def test_without_trusted_proxies_a_header_that_a_client_forges_gains_nothing(place: tuple[Path, str]) -> None:
    async with behind(place) as app:
        assert [await guess(app, "127.0.0.1", f"198.51.100.{n}") for n in range(3)] == [401, 401, 429]


async def test_paths_that_the_service_tells_are_those_that_the_proxy_serves(place: tuple[Path, str]) -> None:
    async with behind(place, root_path="/unroll") as app:
        client = Client(app, "key")
        created = await client.ask("POST", "/v1/sessions", {"model": "tiny"})
        session = created.json["id"]
        assert dict(created.headers)["location"] == f"/unroll/v1/sessions/{session}"
        forked = await client.ask("POST", f"/v1/sessions/{session}/fork", {})
        assert dict(forked.headers)["location"].startswith("/unroll/v1/sessions/ses_")
        assert (await client.ask("GET", "/openapi.json")).json["servers"] == [{"url": "/unroll"}]
        assert b"url: 'openapi.json'" in (await client.ask("GET", "/docs")).body


@pytest.mark.parametrize(
    ("host", "open_to"),
    [
        ("127.0.0.1", "every program on this machine"),
        ("::1", "every program on this machine"),
        ("192.0.2.1", "everyone who can connect to this machine at 192.0.2.1"),
        ("fe80::1%eth0", "everyone who can connect to this machine at fe80::1%eth0"),
    ],
)
def test_a_service_without_keys_says_whom_it_is_open_to(
    caplog: pytest.LogCaptureFixture, host: str, open_to: str
) -> None:
    warn_of_open_access(load(api_keys="a:k"), host)
    warn_of_open_access(load(api_keys_file="keys"), host)
    assert caplog.records == []
    warn_of_open_access(load(), host)
    (line,) = caplog.records
    assert (line.levelno, vars(line)["open_to"]) == (logging.WARNING, open_to)
