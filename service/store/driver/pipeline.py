"""Commands out, replies in: one pipeline on one connection, ended by a deadline, sent once.

The driver's own pipeline sends a batch again after a connection error, and drops the replies that came before it. Here
nothing is sent twice, and each command knows whether the server may have it.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import hiredis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import AuthenticationError, AuthorizationError, BusyLoadingError, RedisError, ResponseError

from service.store.driver.commands import Argument, Reply
from service.store.driver.errors import ReplyLost
from service.store.driver.nodes import Node

# Error replies; the driver files the last three under connection errors.
_REFUSALS = (ResponseError, BusyLoadingError, AuthenticationError, AuthorizationError)


async def execute_pipeline(node: Node, commands: Sequence[tuple[Argument, ...]], deadline: float) -> list[Reply]:
    """One reply per command: a value, an error reply as an exception, or Lost. Never raises for the store's sake.

    `deadline` is on the event loop's clock, in seconds.
    """
    replies: list[Reply] = []
    sent = False
    pool = node.client.connection_pool
    try:
        async with asyncio.timeout_at(deadline):
            connection = await pool.get_connection()  # type: ignore[no-untyped-call]
            sent = True
            await _converse(pool, connection, commands, replies)
    except (RedisError, OSError) as error:  # OSError includes the TimeoutError of the deadline
        replies += [ReplyLost.by(error, sent=sent) for _ in range(len(commands) - len(replies))]
    return replies


async def _converse(
    pool: ConnectionPool,
    connection: AbstractConnection,
    commands: Sequence[tuple[Argument, ...]],
    replies: list[Reply],
) -> None:
    # The deadline around all this bounds every wait: the driver would set a timer of its own for each reply.
    own_timeout, connection.socket_timeout = connection.socket_timeout, None
    try:
        await connection.send_packed_command([hiredis.pack_command(cast("Any", command)) for command in commands])
        for _ in commands:
            replies.append(await _reply(connection))  # noqa: PERF401 - what came must outlive what did not
    except BaseException:
        # Replies still under way must never be read by the connection's next user.
        await connection.disconnect(nowait=True)
        raise
    finally:
        connection.socket_timeout = own_timeout
        await pool.release(connection)


async def _reply(connection: AbstractConnection) -> Reply:
    try:
        return cast("Reply", await connection.read_response(disconnect_on_error=False))
    except _REFUSALS as refusal:
        return refusal
