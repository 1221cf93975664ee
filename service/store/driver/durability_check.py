"""Check of a durability level before a session is created at it, so that a refusal leaves no session behind."""

from collections.abc import Sequence

from redis.exceptions import ResponseError

from service.domain.errors import DurabilityNotReached
from service.domain.sessions import Durability
from service.store.driver.commands import Argument, Reply
from service.store.driver.durability import always_synced, connected_replicas
from service.store.driver.errors import ReplyLost
from service.store.driver.pipeline import execute_pipeline
from service.store.driver.topology import Topology

_COMMANDS: dict[Durability, list[tuple[Argument, ...]]] = {
    "memory": [],
    "replicated": [("ROLE",), ("INFO", "replication")],
    # WAITAOF needs a number of milliseconds, and waits for earlier writes of its connection.
    "fsynced": [("WAITAOF", 1, 0, 1), ("CONFIG", "GET", "append*")],
}


async def require_reachable(
    topology: Topology, key: str, durability: Durability, deadline: float, *, repeatable: bool
) -> None:
    """Raise DurabilityNotReached with `applied: "no"` if the server of `key` cannot reach a durability level now.

    A creation that is `repeatable` may be written while a replica is away, because its repetition waits for it. It is
    refused only if the server has had no replica within the time that it keeps a backlog for one, an hour.
    """
    try:
        node = await topology.node(key, deadline)
    except ReplyLost:  # the creation itself tells
        return
    replies = await execute_pipeline(node, _COMMANDS[durability], deadline)
    problem = None
    if durability == "replicated":
        problem = _replicated_problem(replies, repeatable=repeatable)
    elif durability == "fsynced":
        problem = _fsynced_problem(replies)
    if problem is not None:
        raise DurabilityNotReached(
            f"durability {durability} cannot be reached: {problem}; no session was created", applied="no"
        )


def _replicated_problem(replies: Sequence[Reply], *, repeatable: bool) -> str | None:
    role, info = replies
    if connected_replicas(role, None) != 0:
        return None
    if repeatable and not (isinstance(info, bytes) and b"repl_backlog_active:0" in info):
        return None
    return "the store has no replica, expected one or more"


def _fsynced_problem(replies: Sequence[Reply]) -> str | None:
    synced, config = replies
    if not isinstance(synced, ResponseError) or always_synced(config):
        return None
    if "unknown command" in str(synced).lower():
        return "the store has neither WAITAOF nor AOF always"
    return "the store does not answer WAITAOF, is its append-only file on?"
