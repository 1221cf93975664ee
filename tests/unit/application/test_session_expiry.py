"""When the end of a session is noticed although nobody asks for it."""

from dataclasses import replace

from service.application.session_expiry import RECHECK_MS, SessionExpiry
from service.domain.errors import StoreUnavailable, UnrollError
from tests.unit.application.world import World


class Watching:
    """A session that is watched, and what was told of it."""

    def __init__(self, world: World, session: str, expires_at: int) -> None:
        self.world, self.errors = world, list[str]()
        self.expiry = SessionExpiry(world.sessions, world.clock)
        self.stop = self.expiry.watch("public", session, expires_at, self._end)

    def _end(self, error: UnrollError) -> None:
        self.errors.append(error.code)

    async def sweep_at(self, milliseconds: int) -> list[str]:
        self.world.clock.milliseconds = milliseconds
        await self.expiry.sweep()
        return self.errors


async def watching() -> tuple[World, Watching, int]:
    world = World()
    session = await world.session()
    record = await world.sessions.find("public", session)
    return world, Watching(world, session, record.expires_at), record.expires_at


async def test_the_end_of_a_session_is_told_when_its_time_to_live_is_over() -> None:
    world, watched, end = await watching()
    world.store.records.clear()
    assert await watched.sweep_at(end - 1) == []
    assert await watched.sweep_at(end) == ["session_expired"]
    watched.stop()


async def test_it_is_told_again_until_the_watch_stops() -> None:
    world, watched, end = await watching()
    world.store.records.clear()
    await watched.sweep_at(end)
    assert await watched.sweep_at(end + RECHECK_MS) == ["session_expired"] * 2
    watched.stop()
    assert await watched.sweep_at(end + 2 * RECHECK_MS) == ["session_expired"] * 2


async def test_a_session_that_was_renewed_is_looked_up_at_its_new_end() -> None:
    world, watched, end = await watching()
    ((key, record),) = world.store.records.items()
    assert record is not None
    world.store.records[key] = replace(record, expires_at=end + 60_000)
    assert await watched.sweep_at(end) == []
    world.store.records.clear()
    assert await watched.sweep_at(end + 59_999) == []
    assert await watched.sweep_at(end + 60_000) == ["session_expired"]
    watched.stop()


async def test_a_store_that_is_away_ends_no_session() -> None:
    world, watched, end = await watching()
    world.store.failure = StoreUnavailable("away")
    assert await watched.sweep_at(end) == []
    world.store.failure = None
    world.store.records.clear()
    assert await watched.sweep_at(end + RECHECK_MS) == ["session_expired"]
    watched.stop()
