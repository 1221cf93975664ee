"""First records under ids that were used before: in place of nothing, of a tombstone, or of a known record."""

from dataclasses import replace

import pytest
from store_support import make_record, stepped

from service.domain.errors import WriteConflict
from service.store import RedisStore

pytestmark = [
    pytest.mark.parametrize("deployment", ["single", "cluster"], indirect=True, scope="session"),
]


async def listed(store: RedisStore) -> list[int]:
    """The step counts of the sessions in the listing."""
    page = await store.list("tenant", None, 100, None)
    return [summary.step for _, summary in page.sessions]


async def test_a_session_begins_where_nothing_is(store: RedisStore) -> None:
    begun = await store.begin("tenant", "id", make_record(step=1), None)
    assert await store.read("tenant", "id") == begun
    assert await listed(store) == [1]


async def test_a_session_begins_in_place_of_a_tombstone(store: RedisStore) -> None:
    await store.create("tenant", "id", make_record())
    assert await store.end("tenant", "id")
    begun = await store.begin("tenant", "id", make_record(step=1), None)
    assert await store.read("tenant", "id") == begun
    assert await listed(store) == [1]


async def test_a_session_begins_in_place_of_the_record_that_was_read(store: RedisStore) -> None:
    first = await store.create("tenant", "id", make_record())
    later = make_record(step=1, created_at=first.created_at + 1000)
    begun = await store.begin("tenant", "id", later, first)
    assert await store.read("tenant", "id") == begun
    assert await listed(store) == [1]


async def test_a_record_that_another_worker_wrote_is_not_replaced(store: RedisStore) -> None:
    first = await store.create("tenant", "id", make_record())
    stored = await store.write("tenant", "id", stepped(first))
    for replaced in (None, first):
        with pytest.raises(WriteConflict):
            await store.begin("tenant", "id", make_record(created_at=first.created_at + 1000), replaced)
    assert await store.read("tenant", "id") == stored
    assert await listed(store) == [1]


async def test_a_session_that_began_goes_on(store: RedisStore) -> None:
    begun = await store.begin("tenant", "id", make_record(step=1), None)
    written = await store.write("tenant", "id", stepped(begun))
    assert replace(written, token=b"") == replace(stepped(begun), token=b"")
