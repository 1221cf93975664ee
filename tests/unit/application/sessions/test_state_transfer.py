"""States that travel: what an export says of itself, and which sessions come of imports."""

import json
from typing import Any

import pytest

from service.application.sessions.sessions import NewSession
from service.domain.errors import IdempotencyKeyReused, InvalidRequest, ModelNotFound, ModelVersionGone, SessionNotFound
from tests.fakes import model_version
from tests.unit.application.world import World, folded

FINGERPRINT = f"sha256:{'ab' * 32}"


def changed(content: bytes, **metadata: str | None) -> bytes:
    """The file with some of its metadata replaced, None for an entry that is left out."""
    told, value = json.loads(content)
    return json.dumps([{name: one for name, one in (told | metadata).items() if one is not None}, value]).encode()


async def exported(world: World, *ids: int) -> bytes:
    """What a session exports that was fed `ids`, one a step."""
    session = await world.session()
    for index in ids:
        await world.step(session, index, key=f"k{index}")
    return (await world.transfers.export(world.context(), session)).content


async def test_an_export_tells_whose_state_it_is_and_how_far_it_has_come() -> None:
    told, value = json.loads(await exported(World(), 4, 5))
    assert value == folded(4, 5)
    assert told == {
        "format_version": "1", "model": "adder", "version": "1", "task": "next-word", "fingerprint": FINGERPRINT,
        "dtype": "float32", "step": "2", "timesteps": "2",
    }  # fmt: skip


async def test_an_export_leaves_the_session_as_it_is() -> None:
    world = World()
    session = await world.session()
    before = dict(world.store.records)
    world.clock.milliseconds += 1000
    exported = await world.transfers.export(world.context(), session)
    assert exported.step == 0
    assert world.store.records == before
    with pytest.raises(SessionNotFound):
        await world.transfers.export(world.context("somebody"), session)


async def test_a_session_whose_version_is_gone_cannot_be_exported() -> None:
    world = World()
    session = await world.session()
    world.engine.known = [model_version(fingerprint="cd" * 32)]
    with pytest.raises(ModelVersionGone):
        await world.transfers.export(world.context(), session)


async def test_an_imported_session_continues_where_the_exported_one_stood_and_knows_none_of_its_answers() -> None:
    world = World()
    content = await exported(world, 4, 5)
    other = World()
    other.clock.milliseconds = 7_000_000
    session = (await other.imported(content, ttl_seconds=60, kept_steps=1, durability="fsynced")).session
    assert {"step": 2, "timesteps": 2, "ttl_seconds": 60, "durability": "fsynced"}.items() <= session.items()
    assert (session["created_at"], session["expires_at"]) == (
        "1970-01-01T01:56:40.000Z",
        "1970-01-01T01:57:40.000Z",
    )
    answer = await other.step(str(session["id"]), 6, key="k5", step=2)
    assert (answer["output"], answer["step"], answer["replayed"]) == ({"value": folded(4, 5, 6)}, 3, False)
    assert other.observer.counts["created"] == 1
    with pytest.raises(InvalidRequest, match=r"step is 1: expected one of \[2, 3\]"):
        await other.sessions.fork(other.context(), str(session["id"]), 1, None, None)


async def test_a_keyed_import_finds_the_same_session_again_even_after_steps_and_without_its_model() -> None:
    world = World()
    content = await exported(world, 4)
    first = (await world.imported(content, "key")).session
    await world.step(str(first["id"]), 5)
    world.engine.known = []
    again = await world.imported(content, "key")
    assert (again.session["id"], again.session["step"], again.replayed) == (first["id"], 2, True)


@pytest.mark.parametrize("change", [{"ttl_seconds": 7}, {"kept_steps": 1}, {"durability": "fsynced"}])
async def test_the_key_of_an_import_with_other_terms_is_refused(change: dict[str, Any]) -> None:
    world = World()
    content = await exported(world, 4)
    await world.imported(content, "key")
    with pytest.raises(IdempotencyKeyReused):
        await world.imported(content, "key", **change)


async def test_the_key_of_an_import_is_refused_with_another_file_and_for_a_plain_creation() -> None:
    world = World()
    content = await exported(world, 4)
    await world.imported(content, "key")
    with pytest.raises(IdempotencyKeyReused):
        await world.imported(changed(content, step="9"), "key")
    with pytest.raises(IdempotencyKeyReused):
        await world.sessions.create(world.context(), NewSession("adder", None, 3600, None, 0), "key")


async def test_without_a_key_each_import_is_a_session_of_its_own() -> None:
    world = World()
    content = await exported(world, 4)
    ids = {str((await world.imported(content)).session["id"]) for _ in range(3)}
    assert len(ids) == 3
    assert ids <= {name for _, name in world.store.records}


@pytest.mark.parametrize(
    ("told", "served", "chosen"),
    [
        ("1", {"1": "ab", "2": "cd"}, "1"),
        ("2", {"1": "ab", "2": "cd"}, "1"),
        ("1", {"3": "cd", "4": "ab"}, "4"),
        ("1", {"1": "ab", "2": "ab"}, "1"),
        ("5", {"1": "ab", "2": "ab"}, "2"),
    ],
)
async def test_the_fingerprint_decides_on_which_version_an_imported_session_runs(
    told: str, served: dict[str, str], chosen: str
) -> None:
    world = World()
    content = changed(await exported(world, 4), version=told)
    world.engine.known = [model_version(version=name, fingerprint=one * 32) for name, one in served.items()]
    session = (await world.imported(content)).session
    assert session["version"] == chosen
    assert (await world.step(str(session["id"]), 5))["output"] == {"value": folded(4, 5)}


async def test_a_state_of_a_model_or_version_that_is_not_served_is_refused() -> None:
    world = World()
    content = await exported(world, 4)
    with pytest.raises(ModelNotFound, match="nothing"):
        await world.imported(changed(content, model="nothing"))
    with pytest.raises(ModelVersionGone, match=r"sha256:cccccccccccc\.\.\..*abababababab") as refused:
        await world.imported(changed(content, fingerprint=f"sha256:{'cc' * 32}"))
    assert refused.value.param == "metadata.fingerprint"


ENTRIES = ("format_version", "model", "version", "task", "fingerprint", "dtype", "step", "timesteps")
COUNTS = ["-1", "+1", "1e9", "abc", "", " 1", "1 ", "1\n", "1.0", "01", "٣", "1_000"]
TOO_LARGE = ["9" * 400, str(2**53 + 1), str(2**63)]


@pytest.mark.parametrize(
    ("entry", "value"),
    [(entry, None) for entry in ENTRIES]
    + [(entry, value) for entry in ("step", "timesteps") for value in COUNTS + TOO_LARGE]
    + [("format_version", "2"), ("format_version", ""), ("model", ""), ("model", "x" * 1025)]
    + [("fingerprint", value) for value in ("ab" * 32, "sha256:", FINGERPRINT.upper(), FINGERPRINT + "ab", "md5:ab")]
    + [("task", "translation"), ("dtype", "bfloat16"), ("dtype", "x" * 900)],
)
async def test_metadata_that_is_missing_or_malformed_is_refused_by_name(entry: str, value: str | None) -> None:
    world = World()
    content = await exported(world, 4)
    before = len(world.store.records)
    with pytest.raises(InvalidRequest, match=f"metadata.{entry} is .*: expected ") as refused:
        await world.imported(changed(content, **{entry: value}))
    assert refused.value.param == f"metadata.{entry}"
    assert len(refused.value.message) < 300
    assert len(world.store.records) == before


async def test_metadata_of_others_is_passed_over_and_counts_reach_to_the_largest() -> None:
    world = World()
    content = changed(await exported(world, 4), format="pt", step=str(2**53), timesteps="0")
    session = (await world.imported(content)).session
    assert (session["step"], session["timesteps"]) == (2**53, 0)
    assert (await world.step(str(session["id"]), 5, step=2**53))["step"] == 2**53 + 1


async def test_a_state_that_does_not_fit_its_model_makes_no_session() -> None:
    world = World()
    told, _ = json.loads(await exported(world, 4))
    before = len(world.store.records)
    for content, param in ((json.dumps([told, -1]).encode(), "tensors.value"), (b"\xff", "body")):
        with pytest.raises(InvalidRequest) as refused:
            await world.imported(content, "key")
        assert refused.value.param == param
    assert len(world.store.records) == before


async def test_what_is_exported_again_is_what_was_imported() -> None:
    world = World()
    content = await exported(world, 4, 5)
    session = str((await world.imported(content)).session["id"])
    again = await world.transfers.export(world.context(), session)
    assert (again.content, again.step) == (content, 2)
