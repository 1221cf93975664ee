"""What servers report by INFO."""

from collections.abc import Sequence

from service.store.driver.commands import Reply
from service.store.driver.errors import ReplyLost
from service.store.driver.pipeline import execute_pipeline
from service.store.driver.topology import Topology


def fields_of(reply: Reply) -> dict[bytes, bytes]:
    """Return the fields of a reply to INFO, none of another one."""
    lines = reply.split() if isinstance(reply, bytes) else []
    return {name: value for name, colon, value in (line.partition(b":") for line in lines) if colon}


async def ask_masters(topology: Topology, sections: Sequence[str], deadline: float) -> list[list[Reply]]:
    """Return the replies of each master to INFO with these sections, none if the masters cannot be found out.

    Raises no store error.
    """
    try:
        masters = await topology.masters(deadline)
    except ReplyLost:
        return []
    questions = [("INFO", section) for section in sections]
    return [await execute_pipeline(master, questions, deadline) for master in masters]
