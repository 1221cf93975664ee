"""The whole service on every shape of store, while servers are moved, stopped, lost and come back."""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.domain.sessions import Durability
from tests.certificates import Certificates, server_with_tls
from tests.clusters import clustered, reshard, reshard_at_once, slot_of
from tests.deployments import (
    Deployment,
    Guard,
    documented_user,
    eventually,
    is_replica,
    master_of,
    watched_by_sentinels,
)
from tests.deployments import Server as StoreServer
from tests.e2e.traffic import MODEL, all_step, stepping, write_model
from tests.server import Server, answered, look_up, post, refusal, short_folder, step

REPLICATED: list[Durability] = ["replicated"] * 3
MEMORY: list[Durability] = ["memory"] * 3
PASSWORD = "p@ss:word/1"  # noqa: S105 - of the tests' own servers


@contextlib.contextmanager
def service_on(url: str) -> Iterator[Server]:
    """`unroll serve` with two workers on that store."""
    with (
        short_folder() as folder,
        Server(folder, models=write_model(folder / "models"), workers=2, redis_url=url) as server,
    ):
        yield server


@pytest.fixture(scope="module")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with watched_by_sentinels(tmp_path_factory.mktemp("sentinels"), replicas=2) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def watched(sentinels: Deployment) -> Iterator[Server]:
    with service_on(sentinels.url) as server:
        yield server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with clustered(tmp_path_factory.mktemp("cluster"), replicas=1, node_timeout=2000) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def spread(cluster: Deployment) -> Iterator[Server]:
    with service_on(cluster.url) as server:
        yield server


def assert_everything_works(server: Server) -> None:
    """Each call that needs the store, once; and what operators look at."""
    with server.client() as http:
        body, key = {"model": MODEL, "ttl_seconds": 600, "kept_steps": 2}, uuid.uuid4().hex
        made, again = (post(http, "/v1/sessions", body, key=key) for _ in range(2))
        session = answered(made, 201)["id"]
        assert (again.json()["id"], again.headers["unroll-replayed"]) == (session, "true")
        first, repeated = (step(http, session, "a b", key="once") for _ in range(2))
        assert (repeated.content, repeated.headers["unroll-replayed"]) == (answered(first) and first.content, "true")
        assert answered(post(http, f"/v1/sessions/{session}/generate", {"options": {"max_tokens": 2}}))["step"] == 2
        answered(post(http, f"/v1/sessions/{session}/predict", {"input": {"text": "c"}}))
        forks = [answered(post(http, f"/v1/sessions/{session}/fork", {"step": at}), 201)["id"] for at in (1, 2)]
        assert [look_up(http, fork)["step"] for fork in forks] == [1, 2]
        assert answered(http.patch(f"/v1/sessions/{session}", json={"ttl_seconds": 60}))["ttl_seconds"] == 60
        items = [{"session_id": one, "input": {"text": "d"}} for one in (session, *forks)]
        results = answered(post(http, "/v1/sessions/steps", {"steps": items}))["results"]
        assert [result["step"] for result in results] == [3, 2, 3]
        own = {session, *forks}
        assert own <= {one["id"] for one in answered(http.get("/v1/sessions?limit=100"))["data"]}
        for one in own:
            assert http.delete(f"/v1/sessions/{one}").status_code == 204
            refusal(http.get(f"/v1/sessions/{one}"), 410, "session_ended")
        assert not own & {one["id"] for one in answered(http.get("/v1/sessions?limit=100"))["data"]}
        eventually(lambda: http.get("/health/ready").status_code == 200)
        assert answered(http.get("/health/live"))
        assert "\nunroll_store_up 1.0" in http.get("/metrics").text


def on_master(number: int) -> Callable[[str], bool]:
    """Whether a session is kept by that one of three masters, as the cluster is made."""
    return lambda session: slot_of(session) * 3 // 16384 == number


def test_a_cluster_being_resharded_and_losing_a_master_meanwhile_loses_no_step(
    cluster: Deployment, spread: Server
) -> None:
    giver, taker, _, *replicas = cluster.servers
    places = [on_master(number % 3) for number in range(6)]
    with stepping(spread, ["replicated"] * 6, places) as clients:
        of_giver, of_other = clients[::3], clients[2::3]
        reshard(cluster.servers, [slot_of(of_giver[0].session)], giver, taker)
        all_step(clients)
        taker.kill()
        all_step(of_other, 20)
        successor = master_of(replicas)
        # With its only replica promoted there is none that could confirm a step.
        taker.start()
        eventually(lambda: is_replica(taker))
        all_step(clients)
        reshard_at_once(giver, successor)
        all_step(clients)
        # Without a slot it follows whoever has its last one.
        eventually(lambda: is_replica(giver))
        all_step(clients)
    assert_everything_works(spread)


@pytest.mark.slow
def test_a_master_that_hangs_and_comes_back_costs_no_replicated_step(sentinels: Deployment, watched: Server) -> None:
    hung = master_of(sentinels.servers)
    with stepping(watched, REPLICATED + MEMORY) as clients:
        with hung.frozen():
            master_of([server for server in sentinels.servers if server is not hung])
            all_step(clients)
        # For a while it takes itself for the master that it was.
        all_step(clients)
        eventually(lambda: is_replica(hung))
        all_step(clients)
    assert_everything_works(watched)


@pytest.mark.slow
def test_what_a_lost_master_had_not_replicated_is_told_by_409_at_memory_and_never_acknowledged_at_replicated(
    sentinels: Deployment, watched: Server
) -> None:
    lost = master_of(sentinels.servers)
    replicas = [server for server in sentinels.servers if server is not lost]
    eventually(lambda: all(is_replica(server) for server in replicas))
    with stepping(watched, REPLICATED + MEMORY) as clients:
        with contextlib.ExitStack() as frozen:
            for replica in replicas:
                frozen.enter_context(replica.frozen())
            # What is under way to them already would reach them yet.
            lost.ask("CLIENT", "KILL", "TYPE", "replica")
            all_step(clients[3:])
            lost.kill()
        master_of(replicas)
        all_step(clients)
        lost.start()
        eventually(lambda: is_replica(lost))
        all_step(clients)
    assert all(client.taken_back for client in clients[3:])
    assert_everything_works(watched)


@pytest.mark.slow
def test_a_user_of_the_store_with_a_password_and_the_documented_rights_suffices(tmp_path: Path) -> None:
    deployment = Deployment()
    try:
        server = deployment.add(StoreServer(tmp_path / "server"))
        url = documented_user(server, PASSWORD)
        with service_on(url) as service:
            with stepping(service, ["memory", "fsynced"]) as clients:
                all_step(clients)
            assert_everything_works(service)
            assert PASSWORD not in service.log
            assert "NOPERM" not in service.log
            assert "store setting" not in service.log
    finally:
        deployment.kill()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Guard:
    program = server_with_tls()
    if program is None:
        pytest.skip("needs openssl and a redis-server with TLS on the PATH (apt-get install openssl redis-server)")
    return Guard(PASSWORD, Certificates.make(tmp_path_factory.mktemp("certificates") / "own"), program)


@pytest.mark.slow
def test_one_server_over_tls_with_a_password(tmp_path: Path, tls: Guard) -> None:
    deployment = Deployment()
    try:
        server = deployment.add(StoreServer(tmp_path / "server", guard=tls))
        with service_on(tls.url("", [server])) as service:
            with stepping(service, ["memory"] * 2) as clients:
                all_step(clients)
            assert_everything_works(service)
    finally:
        deployment.kill()
