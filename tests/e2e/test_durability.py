"""A durability that is missed is told, the step being applied, and the same request finds it reached later."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.deployments import Server as StoreServer
from tests.deployments import has_replicas
from tests.server import (
    NEW_CONNECTIONS,
    Server,
    answered,
    eventually,
    look_up,
    new_session,
    post,
    refusal,
    short_folder,
    step,
    tiny_models,
)

ODD = ["--maxmemory-policy", "allkeys-lru", "--appendfsync", "no"]


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    server = StoreServer(tmp_path_factory.mktemp("master"), ODD).start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    server = StoreServer(tmp_path_factory.mktemp("replica"))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def service(master: StoreServer) -> Iterator[Server]:
    """Two workers that start before their store does; sessions that name no durability are `replicated`."""
    master.kill()
    with short_folder() as folder:
        url, models = f"redis://127.0.0.1:{master.port}", tiny_models(folder / "models")
        late = Server(folder, models=models, workers=2, redis_url=url, await_ready=False, durability="replicated")
        with late as service:
            master.start()
            eventually(service.is_ready)
            yield service


@pytest.fixture
def http(service: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30, headers=NEW_CONNECTIONS) as client:
        yield client


def follow(replica: StoreServer, master: StoreServer) -> None:
    replica.start()
    replica.ask("REPLICAOF", "127.0.0.1", master.port)
    eventually(lambda: has_replicas(master, 1))


def assert_missed_then_reached(send: Callable[[], httpx.Response], mend: Callable[[], None]) -> Any:
    """The same request is refused as applied as long as its durability is missed, and answered afterwards."""
    for _ in range(3):
        response = send()
        assert refusal(response, 503, "durability_not_reached")["applied"] == "yes"
        assert int(response.headers["retry-after"]) >= 1
    mend()
    reached = eventually(lambda: (response := send()).status_code != 503 and response)
    assert reached.headers["unroll-replayed"] == "true"
    return reached.json()


def test_settings_that_break_promises_are_warned_of_though_the_store_came_late(service: Server) -> None:
    for warning in (
        "the store's maxmemory-policy is allkeys-lru, expected noeviction",
        "the store's appendfsync is no, expected everysec or always",
        "the store has no replica, expected one or more: UNROLL_DURABILITY is replicated",
    ):
        eventually(lambda warning=warning: service.log.count(warning) == service.workers)


def test_a_session_that_cannot_be_replicated_is_refused_and_none_is_left(
    http: httpx.Client, master: StoreServer
) -> None:
    for key in (None, "never"):
        response = post(http, "/v1/sessions", {"model": "tiny"}, key=key)
        assert refusal(response, 503, "durability_not_reached", "no replica")["applied"] == "no"
        assert int(response.headers["retry-after"]) >= 1
    parent = new_session(http, durability="memory")
    state = http.get(f"/v1/sessions/{parent}/state").content
    imported = http.post("/v1/sessions/import", content=state, headers={"Content-Type": "application/octet-stream"})
    assert refusal(imported, 503, "durability_not_reached")["applied"] == "no"
    assert [session["id"] for session in answered(http.get("/v1/sessions"))["data"]] == [parent]
    assert http.delete(f"/v1/sessions/{parent}").status_code == 204


def test_a_replicated_step_without_a_replica_is_applied_and_answered_when_there_is_one(
    http: httpx.Client, master: StoreServer, replica: StoreServer
) -> None:
    follow(replica, master)
    session = new_session(http)
    assert look_up(http, session)["durability"] == "replicated"
    assert answered(step(http, session, "the", step=0))["step"] == 1
    replica.kill()
    opened = post(http, "/v1/sessions", {"model": "tiny"}, key="opened")
    assert refusal(opened, 503, "durability_not_reached")["applied"] == "yes"
    result = assert_missed_then_reached(
        lambda: step(http, session, "dog", step=1, key="k"), lambda: follow(replica, master)
    )
    assert result["step"] == 2
    again = post(http, "/v1/sessions", {"model": "tiny"}, key="opened")
    assert answered(again, 201)["step"] == 0
    assert again.headers["unroll-replayed"] == "true"
    now = look_up(http, session)
    assert (now["step"], now["timesteps"]) == (2, 2)
    replica.kill()


def test_a_creation_that_a_replica_does_not_confirm_leaves_no_session(
    http: httpx.Client, master: StoreServer, replica: StoreServer
) -> None:
    follow(replica, master)
    listed, keys = answered(http.get("/v1/sessions"))["data"], set(master.ask("KEYS", "*"))
    with replica.frozen():  # the master takes it for connected
        opened = post(http, "/v1/sessions", {"model": "tiny"})
        assert refusal(opened, 503, "durability_not_reached", "0 replicas confirmed")["applied"] == "no"
        assert answered(http.get("/v1/sessions"))["data"] == listed
        assert not {key for key in set(master.ask("KEYS", "*")) - keys if "{ses_" in key}
        keyed = post(http, "/v1/sessions", {"model": "tiny"}, key="late")
        assert refusal(keyed, 503, "durability_not_reached")["applied"] == "yes"
    late = eventually(
        lambda: (opened := post(http, "/v1/sessions", {"model": "tiny"}, key="late")).is_success and opened
    )
    assert late.headers["unroll-replayed"] == "true"
    replica.kill()


def test_an_fsynced_step_without_a_file_is_applied_and_answered_when_there_is_one(
    http: httpx.Client, master: StoreServer
) -> None:
    master.ask("CONFIG", "SET", "appendfsync", "everysec")
    session = new_session(http, durability="fsynced")
    assert answered(step(http, session, "the", step=0))["step"] == 1
    master.ask("CONFIG", "SET", "appendonly", "no")
    result = assert_missed_then_reached(
        lambda: step(http, session, "dog", step=1), lambda: master.ask("CONFIG", "SET", "appendonly", "yes")
    )
    assert result["step"] == 2
    now = look_up(http, session)
    assert (now["step"], now["timesteps"]) == (2, 2)


def test_sessions_in_memory_never_wait(http: httpx.Client) -> None:
    session = new_session(http, durability="memory")
    assert answered(step(http, session, "the", step=0))["step"] == 1


def test_a_session_that_cannot_be_fsynced_is_refused_and_none_is_left(http: httpx.Client, master: StoreServer) -> None:
    before = answered(http.get("/v1/sessions"))["data"]
    master.ask("CONFIG", "SET", "appendonly", "no")
    for key in (None, "never"):
        response = post(http, "/v1/sessions", {"model": "tiny", "durability": "fsynced"}, key=key)
        assert refusal(response, 503, "durability_not_reached", "append-only")["applied"] == "no"
    after = answered(http.get("/v1/sessions"))["data"]
    assert after == before
    master.ask("CONFIG", "SET", "appendonly", "yes")
