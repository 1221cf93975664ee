"""The table of connections: who gets a place, who gives it up, and what ends in time."""

import asyncio
import math
from collections.abc import Hashable

import pytest

from service.application.access.client_addresses import TrustedProxies
from service.process.connections import table as connection_table
from service.process.connections.limits import (
    MIN_CONNECTIONS,
    SPARE_CONNECTIONS,
    ConnectionLimits,
    connection_limits,
)
from service.process.connections.open_files import RESERVED_FILES
from service.process.connections.reading import ReadingProgress
from service.process.connections.table import MAX_UNREAD_BYTES, ConnectionTable, network_of
from service.settings import Settings


class FakeConnection:
    """A connection that notes what becomes of it."""

    def __init__(
        self, host: str | None = "192.0.2.1", *, idle: bool = False, unread: int = 0, since: float = 0
    ) -> None:
        self.client = None if host is None else (host, 1)
        self.deadline = math.inf
        self.spare = False
        self.reading = ReadingProgress(ConnectionLimits())
        self.reading.note(since, 0, unread)
        self.idle = idle
        self.unread = unread
        self.end = ""
        self.resumed = 0

    def expire(self) -> None:
        self.deadline = math.inf
        self.end = "expired"

    def resume(self) -> None:
        self.resumed += 1

    def may_be_evicted(self, _: float) -> bool:
        return self.idle

    def evict(self) -> None:
        self.end = "evicted"

    def check_unread(self, _: float) -> int:
        return self.unread

    def abort(self, reason: str) -> None:
        self.end = reason


class Clients:
    """Clients that open connections in one table."""

    def __init__(self, most: int, per_address: int) -> None:
        self.table = ConnectionTable(ConnectionLimits(max_connections=most, max_connections_per_address=per_address))

    def open(self, count: int, host: str | None = "192.0.2.1", **state: object) -> list[FakeConnection]:
        opened = [FakeConnection(host, **state) for _ in range(count)]  # type: ignore[arg-type]
        for connection in opened:
            self.table.add(connection)
        return opened


def spare(connections: list[FakeConnection]) -> int:
    return sum(connection.spare for connection in connections)


async def test_connections_beyond_the_limit_of_all_or_of_an_address_are_spare() -> None:
    clients = Clients(most=6, per_address=4)
    assert spare(clients.open(5)) == 1
    assert spare(clients.open(3, "192.0.2.2")) == 1


async def test_a_closed_connection_gives_its_place_to_the_next() -> None:
    clients = Clients(most=2, per_address=2)
    first, _, third = clients.open(3)
    for connection in (first, third):
        clients.table.discard(connection)
    assert spare(clients.open(2)) == 1
    assert len(clients.table) == 3


async def test_connections_without_an_address_are_bounded_together_only() -> None:
    assert spare(Clients(most=6, per_address=2).open(7, None)) == 1


async def test_connections_of_a_trusted_proxy_are_those_of_many_clients() -> None:
    limits = ConnectionLimits(
        max_connections=6, max_connections_per_address=2, proxies=TrustedProxies(["192.0.2.0/24", "2001:db8::1"])
    )
    clients = Clients(most=1, per_address=1)
    clients.table = ConnectionTable(limits)
    assert spare(clients.open(3, "192.0.2.1")) == 0
    assert spare(clients.open(3, "198.51.100.1")) == 1
    assert spare(clients.open(2, "2001:db8::1")) == 1


async def test_an_idle_connection_gives_its_place_to_a_new_one_of_its_client() -> None:
    clients = Clients(most=8, per_address=4)
    busy, idle = clients.open(2), clients.open(2, idle=True)
    assert spare(clients.open(3)) == 1
    assert [connection.end for connection in busy + idle] == ["", "", "evicted", "evicted"]


async def test_the_client_with_most_connections_makes_room_when_all_places_are_taken() -> None:
    clients = Clients(most=6, per_address=5)
    few, many = clients.open(2, "192.0.2.1", idle=True), clients.open(4, "192.0.2.2", idle=True)
    assert spare(clients.open(1, "192.0.2.3")) == 0
    assert [connection.end for connection in few] == ["", ""]
    assert [connection.end for connection in many].count("evicted") == 1


async def test_an_idle_connection_is_found_behind_many_busy_ones() -> None:
    clients = Clients(most=200, per_address=200)
    clients.open(199)
    clients.open(1, idle=True)
    attempts = clients.open(200 // connection_table.MAX_EXAMINED + 1)
    assert spare(attempts) == len(attempts) - 1


async def test_the_oldest_spare_connection_makes_room_for_the_next() -> None:
    clients = Clients(most=1, per_address=1)
    _, *others = clients.open(SPARE_CONNECTIONS + 3)
    assert [connection.end for connection in others] == ["evicted"] * 2 + [""] * SPARE_CONNECTIONS


async def test_deadlines_are_noticed_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_table, "SWEEP_SECONDS", 0.02)
    clients = Clients(most=100, per_address=100)
    late, in_time = clients.open(connection_table.EXPIRE_AT_ONCE * 2), clients.open(1)
    for connection in late:
        connection.deadline = 0
    await asyncio.sleep(0.5)
    assert all(connection.end for connection in late)
    assert not in_time[0].end


async def test_pipelined_requests_begin_a_few_a_turn() -> None:
    clients = Clients(most=100, per_address=100)
    connections = clients.open(3 * connection_table.RESUME_PER_TURN)
    for connection in connections:
        clients.table.resume_soon(connection)
    for turn in range(4):
        assert sum(connection.resumed for connection in connections) == turn * connection_table.RESUME_PER_TURN
        await asyncio.sleep(0)


async def test_the_clients_that_have_not_read_for_longest_are_dropped_when_all_have_too_much_to_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_table, "SWEEP_SECONDS", 0.02)
    clients = Clients(most=100, per_address=100)
    part = MAX_UNREAD_BYTES // 4
    waiting = [clients.open(1, unread=part, since=since)[0] for since in (5.0, 3.0, 1.0, 4.0, 2.0, 6.0)]
    (reader,) = clients.open(1)
    await asyncio.sleep(0.5)
    assert [connection.end for connection in waiting] == ["", "", "unread_answer", "", "unread_answer", ""]
    assert not reader.end


@pytest.mark.parametrize(
    ("client", "network"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("::ffff:192.0.2.1", 5), "192.0.2.1"),
        (("2001:db8:1:2:3::4", 5), bytes.fromhex("20010db800010002")),
        (("fe80::1%eth0", 5), bytes.fromhex("fe80000000000000")),
        (None, None),
    ],
)
def test_a_client_is_known_by_its_address_or_its_network(client: tuple[str, int] | None, network: Hashable) -> None:
    assert network_of(client) == network


def test_files_bound_the_connections_and_half_of_them_are_for_one_address() -> None:
    limits = connection_limits(Settings(), 1_000_000)
    assert (limits.max_connections, limits.max_connections_per_address) == (4096, 2048)
    limits = connection_limits(Settings(max_connections_per_address=3000), 1024)
    assert limits.max_connections == 1024 - RESERVED_FILES - SPARE_CONNECTIONS
    assert limits.max_connections_per_address == limits.max_connections
    assert connection_limits(Settings(), 64).max_connections == MIN_CONNECTIONS


@pytest.fixture
def reading() -> ReadingProgress:
    """A client that must read 10 bytes a second after 5 seconds, and has read 100 bytes of an earlier answer."""
    progress = ReadingProgress(ConnectionLimits(write_timeout_seconds=5, min_bytes_per_second=10))
    progress.note(99, 100, 0)
    return progress


def test_a_client_that_reads_nothing_is_too_slow_after_the_first_seconds(reading: ReadingProgress) -> None:
    reading.note(100, 100, 1000)
    assert not reading.is_too_slow(105)
    assert reading.is_too_slow(105.1)


def test_a_client_that_reads_steadily_has_time(reading: ReadingProgress) -> None:
    for seconds in range(60):
        reading.note(100 + seconds, 100 + 11 * seconds, 1000)
        assert not reading.is_too_slow(100 + seconds)
    assert reading.stalled_since == 159
    reading.note(180, 100 + 11 * 59, 1000)
    assert (reading.stalled_since, reading.is_too_slow(180)) == (159, True)


def test_a_client_that_has_read_all_begins_anew(reading: ReadingProgress) -> None:
    for now, unread in ((100, 1000), (104, 0), (108, 1000)):
        reading.note(now, 100, unread)
        assert not reading.is_too_slow(now)
    assert not reading.is_too_slow(113)
