"""Ranges of positions in an index, whose members have two forms."""

from collections.abc import Sequence
from typing import cast

from service.store.driver.commands import Command, Reply, read_command
from service.store.index.cursor import ListingPosition
from service.store.index.members import FIRST_COMPACT

# The commands for text members come first. A renewal replaces a text member by a compact one, and a session that is
# renewed between two commands must be in the reply of one of them.


def read_older(created: str, after: ListingPosition | None, count: int) -> list[Command]:
    """Return the commands that read the next `count` positions after `after`, newest first."""
    text_top = b"(" + (FIRST_COMPACT if after is None else after.text_member)
    compact_top = b"+" if after is None else b"(" + after.compact_bound
    return [
        read_command("ZREVRANGEBYLEX", created, text_top, "-", "LIMIT", 0, count),
        read_command("ZREVRANGEBYLEX", created, compact_top, b"(" + FIRST_COMPACT, "LIMIT", 0, count),
    ]


def read_newer(created: str, start: ListingPosition, count: int) -> list[Command]:
    """Return the commands that read `count` positions from `start` on, including it, oldest first."""
    return [
        read_command("ZRANGEBYLEX", created, b"[" + start.text_member, b"(" + FIRST_COMPACT, "LIMIT", 0, count),
        read_command("ZRANGEBYLEX", created, b"[" + start.compact_bound, "+", "LIMIT", 0, count),
    ]


def merge(replies: Sequence[Reply], count: int, *, newest_first: bool) -> list[ListingPosition]:
    """Return the first `count` positions of both replies. A session with members of both forms is one position."""
    members = (member for reply in replies for member in cast("list[bytes]", reply))
    return sorted({ListingPosition.from_member(member) for member in members}, reverse=newest_first)[:count]
