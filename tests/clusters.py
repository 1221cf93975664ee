"""Clusters of real servers, and their slots moved with their keys while they serve."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from redis import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from tests.deployments import OPEN, Deployment, Guard, Server, eventually, free_port, has_replicas, is_master

_AT_A_TIME = 64
_KEYS = 10
_NO_MASTER = "use SETSLOT only with masters"


@contextlib.contextmanager
def clustered(
    folder: Path, masters: int = 3, replicas: int = 0, node_timeout: int = 15_000, guard: Guard = OPEN
) -> Iterator[Deployment]:
    """A cluster of so many masters with so many replicas each; `servers` has the masters first.

    What a lost master served is refused until another one has it, and nothing else is.
    """
    deployment = Deployment()
    try:
        for number in range(masters * (1 + replicas)):
            options = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(node_timeout)]
            options += ["--cluster-require-full-coverage", "no"]
            options += ["--cluster-port", str(free_port())]
            options += ["--tls-cluster", "yes"] if guard.certificates else []
            deployment.add(Server(folder / f"node{number}", options, guard))
        form_cluster(deployment.servers, masters)
        for number, replica in enumerate(deployment.servers[masters:]):
            master = deployment.servers[number % masters]
            replica.ask("CLUSTER", "REPLICATE", node_id(master))
        for master in deployment.servers[:masters]:
            eventually(lambda master=master: has_replicas(master, replicas))
        eventually(lambda: all(_sees_replicas(server, masters * replicas) for server in deployment.servers))
        deployment.url = guard.url("+cluster", deployment.servers)
        yield deployment
    finally:
        deployment.kill()


def form_cluster(servers: Sequence[Server], masters: int) -> None:
    """Give the first servers an equal share of the slots and introduce all to each other."""
    bounds = [REDIS_CLUSTER_HASH_SLOTS * number // masters for number in range(masters + 1)]
    for number, server in enumerate(servers):
        server.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number < masters:
            server.ask("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
        for other in servers[:number]:
            bus = other.ask("CONFIG GET", "cluster-port")["cluster-port"]
            server.ask("CLUSTER", "MEET", "127.0.0.1", other.port, bus)
    eventually(lambda: all(_sees(server, len(servers)) for server in servers))


def node_id(server: Server) -> str:
    name: str = server.ask("CLUSTER", "MYID")
    return name


def _sees(server: Server, count: int) -> bool:
    """Whether a server knows so many, itself among them, and who has which slot: "ok" it is without that, too."""
    info: dict[str, str] = server.ask("CLUSTER INFO")
    told = info["cluster_state"] == "ok" and int(info["cluster_slots_ok"]) == REDIS_CLUSTER_HASH_SLOTS
    return told and len(server.ask("CLUSTER NODES")) == count


def _sees_replicas(server: Server, count: int) -> bool:
    return sum("slave" in node["flags"] for node in server.ask("CLUSTER NODES").values()) == count


def slot_of(session_id: str) -> int:
    """The slot of a session, whose key has its id in braces."""
    return key_slot(session_id.encode())


def reshard(servers: Iterable[Server], slots: Sequence[int], source: Server, target: Server) -> None:
    """Move slots as the tools do, key by key; those of a portion are on their way together."""
    old, new = node_id(source), node_id(target)
    masters = [server for server in servers if is_master(server) and server not in (source, target)]
    with contextlib.ExitStack() as stack:
        giver, taker, *others = (stack.enter_context(server.client()) for server in (source, target, *masters))
        for start in range(0, len(slots), _AT_A_TIME):
            portion = slots[start : start + _AT_A_TIME]
            _set(taker, portion, "IMPORTING", old)
            _set(giver, portion, "MIGRATING", new)
            for slot in portion:
                while keys := giver.execute_command("CLUSTER", "GETKEYSINSLOT", slot, _KEYS):
                    giver.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
            for told in (taker, giver, *others):
                _set(told, portion, "NODE", new)


def reshard_at_once(source: Server, target: Server) -> None:
    """Move all slots that are left as Valkey 9 does by itself: copied first, handed over at one moment."""
    ranges = _slots(source)
    bounds = [bound for first, last in ranges for bound in (first, last)]
    source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", *bounds, "NODE", node_id(target))
    eventually(lambda: any(first <= ranges[0][0] <= last for first, last in _slots(target)))


def _slots(server: Server) -> list[tuple[int, int]]:
    """The ranges that the server serves, by itself."""
    nodes = server.ask("CLUSTER NODES").values()
    (own,) = (node for node in nodes if "myself" in node["flags"])
    return [(int(bounds[0]), int(bounds[-1])) for bounds in own["slots"]]


def _set(client: Redis, slots: Sequence[int], state: str, node: str) -> None:
    with client.pipeline(transaction=False) as pipeline:
        for slot in slots:
            pipeline.execute_command("CLUSTER", "SETSLOT", slot, state, node)
        replies = pipeline.execute(raise_on_error=False)
    # Whoever gave its last slot away is a replica of the one that took it, and knows.
    assert not [reply for reply in replies if isinstance(reply, Exception) and _NO_MASTER not in str(reply)], replies
