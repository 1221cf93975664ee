"""Administrators: sessions and usage of all tenants, models, and what the audit log tells of it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.access.test_keys_file import entry, write
from tests.integration.access.worker import Client, running

ENTRIES = [
    entry("root", tenant="ops", role="admin"),
    entry("alice", tenant="alice", limits={"sessions": 3, "state_bytes": 1_000_000, "requests_per_second": 1000}),
    entry("bob", tenant="bob"),
]


@pytest.fixture
async def clients(place: tuple[Path, str], tmp_path: Path) -> AsyncIterator[dict[str, Client]]:
    folder, url = place
    write(tmp_path / "keys", *ENTRIES)
    async with running(folder, url, key_prefix=tmp_path.name, api_keys_file=tmp_path / "keys") as app:
        yield {name: Client(app, name) for name in ("root", "alice", "bob")}


async def listed(client: Client, query: str) -> list[dict[str, Any]]:
    """The sessions of all pages of a listing."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = await client.ask("GET", f"/v1/sessions?{query}{cursor}")
        assert page.status == 200, page.body
        found += page.json["data"]
        if page.json["next_cursor"] is None:
            return found
        cursor = f"&cursor={page.json['next_cursor']}"


async def test_an_administrator_lists_sessions_of_a_tenant_and_of_all(clients: dict[str, Client]) -> None:
    own = {name: [await clients[name].session() for _ in range(3)] for name in ("alice", "bob")}
    pairs = [(session["tenant"], session["id"]) for session in await listed(clients["root"], "tenant=*&limit=2")]
    assert sorted(pairs) == sorted((name, session) for name in own for session in own[name])
    assert [name for name, _ in pairs] == sorted(name for name, _ in pairs)
    bobs = await listed(clients["root"], "tenant=bob&limit=2")
    assert [session["id"] for session in bobs] == own["bob"][::-1]
    assert await listed(clients["root"], "tenant=*&model=other") == []
    assert await listed(clients["root"], "limit=2") == []
    assert all("tenant" not in session for session in await listed(clients["alice"], "limit=2"))


async def test_an_administrator_reads_and_ends_a_session_of_any_tenant(clients: dict[str, Client]) -> None:
    for tenant in ("bob", "*"):
        session = await clients["bob"].session()
        path = f"/v1/sessions/{session}?tenant={tenant}"
        read = await clients["root"].ask("GET", path)
        assert (read.status, read.json["tenant"], read.json["id"]) == (200, "bob", session)
        assert (await clients["root"].ask("GET", f"/v1/sessions/{session}")).status == 404
        assert (await clients["root"].ask("DELETE", path)).status == 204
        ended = await clients["bob"].ask("GET", f"/v1/sessions/{session}")
        assert (ended.status, ended.code) == (410, "session_ended")


async def test_a_session_that_is_nobodys_is_not_found(clients: dict[str, Client]) -> None:
    await clients["bob"].session()
    for session in ("ses_x", "ses_" + "a" * 40):
        answer = await clients["root"].ask("GET", f"/v1/sessions/{session}?tenant=*")
        assert (answer.status, answer.code) == (404, "session_not_found")


async def test_a_client_may_not_name_another_tenant(clients: dict[str, Client]) -> None:
    session = await clients["bob"].session()
    calls = [("GET", "sessions"), ("GET", f"sessions/{session}"), ("DELETE", f"sessions/{session}"), ("GET", "usage")]
    for tenant in ("bob", "nobody", "*", "ops"):
        for method, path in calls:
            answer = await clients["alice"].ask(method, f"/v1/{path}?tenant={tenant}")
            assert (answer.status, answer.code, answer.json["error"]["param"]) == (403, "not_allowed", "tenant")
    assert (await clients["bob"].ask("GET", f"/v1/sessions/{session}")).status == 200


async def test_a_client_may_name_its_own_tenant(clients: dict[str, Client]) -> None:
    session = await clients["alice"].session()
    assert [one["id"] for one in await listed(clients["alice"], "tenant=alice")] == [session]
    assert (await clients["alice"].ask("GET", f"/v1/sessions/{session}?tenant=alice")).json["tenant"] == "alice"


async def test_a_cursor_that_no_page_gave_is_refused(clients: dict[str, Client]) -> None:
    for cursor in ("x", "e30", "WzEsMl0", "%C3%BC", "WyJhIiwgMV0"):
        answer = await clients["root"].ask("GET", f"/v1/sessions?tenant=*&cursor={cursor}")
        assert (answer.status, answer.code, answer.json["error"]["param"]) == (422, "invalid_request", "cursor")


async def test_usage_tells_what_a_tenant_has_and_what_is_left(clients: dict[str, Client]) -> None:
    for _ in range(2):
        await clients["alice"].session()
    answer = await clients["alice"].ask("GET", "/v1/usage")
    (usage,) = answer.json["data"]
    assert (usage["object"], usage["tenant"], usage["sessions"]) == ("usage", "alice", 2)
    assert 2 * 2048 < usage["state_bytes"] < 20_000
    assert usage["limits"] == {
        "requests_per_second": 1000,
        "cost_per_second": None,
        "sessions": 3,
        "state_bytes": 1_000_000,
        "ttl_seconds": None,
        "kept_steps": None,
        "weight": 1.0,
    }
    assert usage["remaining"].keys() == {"requests_per_second", "sessions", "state_bytes"}
    assert usage["remaining"]["sessions"] == 1
    assert usage["remaining"]["state_bytes"] == 1_000_000 - usage["state_bytes"]
    assert 0 < usage["remaining"]["requests_per_second"] <= 1000


async def test_limits_of_a_key_bound_its_tenant(clients: dict[str, Client]) -> None:
    alice = clients["alice"]
    for _ in range(3):
        await alice.session()
    refused = await alice.ask("POST", "/v1/sessions", {"model": "tiny"})
    assert (refused.status, refused.code) == (429, "rate_limited")
    headers = dict((await alice.ask("GET", "/v1/models")).headers)
    assert headers["ratelimit-policy"] == '"requests";q=1000;w=1'
    assert "ratelimit-policy" not in dict((await clients["bob"].ask("GET", "/v1/models")).headers)
    (usage,) = (await alice.ask("GET", "/v1/usage")).json["data"]
    assert usage["remaining"]["sessions"] == 0


async def test_an_administrator_asks_for_the_usage_of_all(clients: dict[str, Client]) -> None:
    await clients["bob"].session()
    usages = (await clients["root"].ask("GET", "/v1/usage?tenant=*")).json["data"]
    assert {usage["tenant"]: usage["sessions"] for usage in usages} == {"alice": 0, "bob": 1, "ops": 0}
    (bobs,) = (await clients["root"].ask("GET", "/v1/usage?tenant=bob")).json["data"]
    assert bobs["sessions"] == 1


async def test_only_administrators_unload_models(clients: dict[str, Client]) -> None:
    path = "/v2/repository/models/other"
    refused = await clients["bob"].ask("POST", f"{path}/unload")
    assert refused.status == 403
    assert (await clients["root"].ask("POST", f"{path}/unload")).status == 200
    assert (await clients["bob"].ask("POST", f"{path}/load")).status == 403
    assert (await clients["root"].ask("POST", f"{path}/load")).status == 200


async def test_actions_of_administrators_are_audited_by_ids(
    clients: dict[str, Client], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "unroll.audit")
    session = await clients["bob"].session()
    root = clients["root"]
    await root.ask("GET", "/v1/sessions?tenant=*")
    await root.ask("GET", f"/v1/sessions/{session}?tenant=bob")
    await root.ask("DELETE", f"/v1/sessions/{session}?tenant=bob")
    await root.ask("GET", "/v1/usage?tenant=bob")
    await root.ask("POST", "/v2/repository/models/other/unload")
    await root.ask("POST", "/v2/repository/models/other/load")
    await clients["bob"].ask("GET", "/v1/usage")
    lines = [vars(record) for record in caplog.records if record.name == "unroll.audit"]
    assert {(line["tenant"], line["key"]) for line in lines} == {("ops", "root")}
    subjects = [(line["action"], line.get("of_tenant"), line.get("session"), line.get("model")) for line in lines]
    assert subjects == [
        ("session.list", "*", None, None),
        ("session.read", "bob", session, None),
        ("session.end", "bob", session, None),
        ("usage.read", "bob", None, None),
        ("model.unload", None, None, "other"),
        ("model.load", None, None, "other"),
    ]
