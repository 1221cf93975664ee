"""Which version a request means, and what the sessions of one that this worker lacks are told."""

from dataclasses import replace

import pytest

from service.application.model_versions.availability import VersionAvailability
from service.application.model_versions.resolver import VersionResolver
from service.domain.errors import ModelNotFound, ModelNotReady, ModelVersionGone, VersionNotFound
from service.domain.models import ModelVersion, VersionKey
from tests.fakes import AddingEngine, model_version
from tests.unit.application.world import session_on

ONE, TWO = model_version(version="1", fingerprint="11" * 32), model_version(version="2", fingerprint="22" * 32)
OF_ONE = session_on(ONE)


def models(*loaded: ModelVersion, **availability: object) -> VersionResolver:
    resolver = VersionResolver(AddingEngine(*loaded))
    resolver.availability = VersionAvailability(**{"open": frozenset({TWO.version_key}), **availability})
    return resolver


async def test_a_retiring_version_is_neither_listed_nor_the_default_nor_open_to_new_sessions() -> None:
    resolver = models(ONE, TWO)
    assert resolver.all() == {"adder": [TWO]}
    assert resolver.retiring("adder") == [ONE]
    assert await resolver.version("adder", None) == await resolver.version_for_new_session("adder", None) == TWO
    with pytest.raises(VersionNotFound, match=r"version '1' of adder is being retired.* expected one of \['2'\]"):
        await resolver.version_for_new_session("adder", "1")
    with pytest.raises(VersionNotFound, match="version '3' of adder is not served"):
        await resolver.version_for_new_session("adder", "3")


async def test_a_retiring_version_answers_those_that_name_it_and_its_sessions_which_are_noted() -> None:
    resolver = models(ONE, TWO)
    assert await resolver.version("adder", "1") == ONE
    assert resolver.recently_used == set()
    assert await resolver.version_for_session(OF_ONE) == ONE
    assert resolver.recently_used == {ONE.version_key}


async def test_a_model_all_of_whose_versions_retire_is_not_found() -> None:
    resolver = models(ONE)
    assert resolver.all() == {}
    assert await resolver.version("adder", "1") == ONE
    for find in (resolver.version, resolver.version_for_new_session):
        with pytest.raises(ModelNotFound):
            await find("adder", None)


@pytest.mark.parametrize(
    "availability",
    [
        {"elsewhere": frozenset({ONE.version_key})},
        {"awaited": frozenset({("adder", "1")})},
        {"informed": False},
    ],
)
async def test_a_session_whose_version_another_worker_has_or_may_come_is_told_to_try_again(
    availability: dict[str, object],
) -> None:
    with pytest.raises(ModelNotReady) as refusal:
        await models(TWO, **availability).version_for_session(OF_ONE)
    assert (refusal.value.applied, refusal.value.step, refusal.value.retry_after) == ("no", 7, 1)


@pytest.mark.parametrize(
    ("loaded", "elsewhere", "message"),
    [
        (TWO, frozenset(), "no longer served"),
        (TWO, frozenset({VersionKey("adder", "1", "another")}), "no longer served"),
        (replace(ONE, fingerprint="33" * 32), frozenset(), "changed in place"),
    ],
)
async def test_a_session_whose_version_nobody_has_is_told_that_it_is_gone(
    loaded: ModelVersion, elsewhere: frozenset[VersionKey], message: str
) -> None:
    with pytest.raises(ModelVersionGone, match=message) as refusal:
        await models(loaded, elsewhere=elsewhere).version_for_session(OF_ONE)
    assert (refusal.value.applied, refusal.value.step) == ("no", 7)


async def test_a_version_that_retires_elsewhere_is_not_ready_for_predictions_and_not_found_for_new_sessions() -> None:
    resolver = models(TWO, elsewhere=frozenset({ONE.version_key}))
    with pytest.raises(ModelNotReady):
        await resolver.version("adder", "1")
    with pytest.raises(VersionNotFound, match="is not served"):
        await resolver.version_for_new_session("adder", "1")
    with pytest.raises(ModelVersionGone, match=r"expected that of a served version of adder: 2{12}\.\.\. \(2\)"):
        await resolver.version_for_state("adder", "1", ONE.fingerprint)


async def test_a_state_belongs_to_the_open_version_of_its_fingerprint_whatever_that_is_called() -> None:
    renamed = replace(ONE, version="3")
    resolver = models(ONE, TWO, renamed, open=frozenset({ONE.version_key, TWO.version_key, renamed.version_key}))
    assert await resolver.version_for_state("adder", "1", ONE.fingerprint) == ONE
    assert await resolver.version_for_state("adder", "9", ONE.fingerprint) == renamed
    elsewhere = models(TWO, open_elsewhere=frozenset({renamed.version_key}))
    with pytest.raises(ModelNotReady):
        await elsewhere.version_for_state("adder", "1", ONE.fingerprint)


async def test_what_is_found_at_once_needs_no_refresh_and_what_is_not_one() -> None:
    resolver, refreshes = models(TWO), 0

    async def refresh() -> None:
        nonlocal refreshes
        refreshes += 1

    resolver.refresh = refresh
    await resolver.version("adder", "2")
    await resolver.version_for_session(session_on(TWO))
    assert refreshes == 0
    for number, (request, error) in enumerate(
        (
            (resolver.version("adder", "3"), VersionNotFound),
            (resolver.versions("other"), ModelNotFound),
            (resolver.version_for_session(OF_ONE), ModelVersionGone),
        )
    ):
        with pytest.raises(error):
            await request
        assert refreshes == number + 1
