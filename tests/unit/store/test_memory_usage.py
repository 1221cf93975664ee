"""What servers tell of their memory."""

import pytest

from service.domain.errors import StoreFull
from service.store.memory_usage import MemoryUsage


def test_buffers_do_not_count_against_the_limit() -> None:
    reply = b"# Memory\r\nused_memory:1500\r\nmem_not_counted_for_evict:500\r\nmaxmemory:2000\r\n"
    assert MemoryUsage.parse(reply) == MemoryUsage(used=1000, limit=2000)


@pytest.mark.parametrize("reply", [b"", b"used_memory:5\r\n", None, ValueError("NOPERM")])
def test_a_server_that_does_not_tell_has_no_usage(reply: object) -> None:
    assert MemoryUsage.parse(reply) is None  # type: ignore[arg-type]


def test_servers_have_a_limit_together_only_if_each_has_one() -> None:
    first, second, open_ended = MemoryUsage(10, 100), MemoryUsage(20, 200), MemoryUsage(5, 0)
    assert MemoryUsage.total([first, second]) == MemoryUsage(30, 300)
    assert MemoryUsage.total([first, second, open_ended]) == MemoryUsage(35, 0)


def test_a_full_server_says_so() -> None:
    with pytest.raises(StoreFull, match="100 bytes of 100"):
        MemoryUsage(100, 100).require_space()
