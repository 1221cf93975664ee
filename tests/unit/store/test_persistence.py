"""What servers tell of their append-only file and of their replicas."""

import pytest

from service.store.persistence import Persistence

REPLICATION = b"# Replication\r\nrole:master\r\nconnected_slaves:2\r\n"
PERSISTENCE = b"# Persistence\r\naof_enabled:1\r\naof_last_bgrewrite_status:ok\r\naof_last_write_status:ok\r\n"


def test_a_server_that_writes_its_file_says_so() -> None:
    assert Persistence.parse(PERSISTENCE, REPLICATION) == Persistence(append_only=True, replicas=2)


@pytest.mark.parametrize(
    ("fine", "broken"),
    [
        (b"aof_enabled:1", b"aof_enabled:0"),
        (b"aof_last_write_status:ok", b"aof_last_write_status:err"),
        (b"aof_last_bgrewrite_status:ok", b"aof_last_bgrewrite_status:err"),
    ],
)
def test_a_server_without_the_file_or_with_an_error_of_it_does_not_keep_its_writes(fine: bytes, broken: bytes) -> None:
    assert Persistence.parse(PERSISTENCE.replace(fine, broken), REPLICATION) == Persistence(False, 2)


@pytest.mark.parametrize("reply", [b"", None, ValueError("NOPERM")])
def test_a_server_that_does_not_tell_has_no_persistence(reply: object) -> None:
    assert Persistence.parse(reply, REPLICATION) is None  # type: ignore[arg-type]


def test_several_servers_keep_what_each_of_them_keeps() -> None:
    servers = [Persistence(True, 2), Persistence(True, 1), Persistence(False, 3)]
    assert Persistence.weakest(servers[:2]) == Persistence(True, 1)
    assert Persistence.weakest(servers) == Persistence(False, 1)
