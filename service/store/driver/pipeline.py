"""Execution of one pipeline on one connection, bounded by a deadline and sent once.

The driver's own pipeline repeats a batch after a connection error and drops the replies received before it. This one
sends nothing twice, and says of each command without a reply whether the server may have received it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import hiredis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import AuthenticationError, AuthorizationError, BusyLoadingError, RedisError, ResponseError

from service.domain.runtime.loop_stalls import STALLS
from service.store.driver.commands import Argument, Reply
from service.store.driver.errors import ReplyLost
from service.store.driver.nodes import Node

# Error replies. The driver derives the last three from its connection error.
_ERROR_REPLIES = (ResponseError, BusyLoadingError, AuthenticationError, AuthorizationError)


async def execute_pipeline(node: Node, commands: Sequence[tuple[Argument, ...]], deadline: float) -> list[Reply]:
    """Return one reply per command: a value, an error reply as an exception, or ReplyLost. Raises no store error.

    `deadline` is in seconds on the event loop's clock.
    """
    replies: list[Reply] = []
    sent = False
    pool = node.client.connection_pool
    try:
        async with STALLS.timeout_at(deadline):
            connection = await pool.get_connection()  # type: ignore[no-untyped-call]
            sent = True
            await _exchange(pool, connection, commands, replies)
    except (RedisError, OSError, RuntimeError) as error:  # OSError includes the TimeoutError of the deadline
        # uvloop raises a RuntimeError if a connection is written to that was just closed.
        if isinstance(error, RuntimeError) and "closed" not in str(error):
            raise
        replies += [ReplyLost.by(error, sent=sent) for _ in range(len(commands) - len(replies))]
    return replies


async def _exchange(
    pool: ConnectionPool,
    connection: AbstractConnection,
    commands: Sequence[tuple[Argument, ...]],
    replies: list[Reply],
) -> None:
    # The caller's deadline bounds every wait. The driver would set another timer for each reply.
    own_timeout, connection.socket_timeout = connection.socket_timeout, None
    try:
        await connection.send_packed_command([hiredis.pack_command(cast("Any", command)) for command in commands])
        # The connection's own `read_response` does more for each reply than the parser does to read it.
        read: Callable[[], Awaitable[Reply]] = cast("Any", connection._parser).read_response
        for _ in commands:
            replies.append(await _read_reply(read))  # noqa: PERF401 - replies must survive a later failure
    except BaseException:
        # The connection's next user must not read replies to these commands.
        await _close(connection)
        raise
    finally:
        connection.socket_timeout = own_timeout
        await pool.release(connection)


async def _close(connection: AbstractConnection) -> None:
    """Close a connection without waiting for it, and retrieve the error that has ended it.

    asyncio logs the error of a stream as never retrieved if the garbage collector happens to reach the stream's future
    before the stream.
    """
    writer = connection._writer
    await connection.disconnect(nowait=True)
    if writer is not None:
        closed = asyncio.ensure_future(writer.wait_closed())
        closed.add_done_callback(lambda future: future.cancelled() or future.exception())


async def _read_reply(read: Callable[[], Awaitable[Reply]]) -> Reply:
    """Return a value, or an error reply as an exception. Raises the driver's errors of the connection."""
    try:
        return await read()
    except _ERROR_REPLIES as error:
        return error
