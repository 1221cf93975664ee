"""Which version a request means, and what the sessions of one that this worker lacks are told."""

from dataclasses import replace

import pytest

from service.application.model_versions.resolver import VersionAvailability, VersionResolver
from service.domain.errors import ModelNotFound, ModelNotReady, ModelVersionGone, VersionNotFound
from service.domain.models import ModelVersion, VersionKey
from tests.fakes import AddingEngine, model_version
from tests.unit.application.world import run, session_on

ONE, TWO = model_version(version="1", fingerprint="11" * 32), model_version(version="2", fingerprint="22" * 32)
OF_ONE = session_on(ONE)


def models(*loaded: ModelVersion, **availability: object) -> VersionResolver:
    made = VersionResolver(AddingEngine(*loaded))
    made.availability = VersionAvailability(**{"open": frozenset({TWO.version_key}), **availability})
    return made


def test_a_retiring_version_is_neither_listed_nor_the_default_nor_open_to_new_sessions() -> None:
    looked_up = models(ONE, TWO)
    assert looked_up.all() == {"adder": [TWO]}
    assert run(looked_up.version("adder", None)) == run(looked_up.for_session("adder", None)) == TWO
    with pytest.raises(VersionNotFound, match=r"version '1' of adder is being retired.* expected one of \['2'\]"):
        run(looked_up.for_session("adder", "1"))
    with pytest.raises(VersionNotFound, match="version '3' of adder is not served"):
        run(looked_up.for_session("adder", "3"))


def test_a_retiring_version_answers_those_that_name_it_and_its_sessions_which_are_noted() -> None:
    looked_up = models(ONE, TWO)
    assert run(looked_up.version("adder", "1")) == ONE
    assert looked_up.recently_used == set()
    assert run(looked_up.of_session(OF_ONE)) == ONE
    assert looked_up.recently_used == {ONE.version_key}


def test_a_model_all_of_whose_versions_retire_is_not_found() -> None:
    looked_up = models(ONE)
    assert looked_up.all() == {}
    assert run(looked_up.version("adder", "1")) == ONE
    for ask in (looked_up.version, looked_up.for_session):
        with pytest.raises(ModelNotFound):
            run(ask("adder", None))


@pytest.mark.parametrize(
    "availability",
    [
        {"elsewhere": frozenset({ONE.version_key})},
        {"awaited": frozenset({("adder", "1")})},
        {"informed": False},
    ],
)
def test_a_session_whose_version_another_worker_has_or_may_come_is_told_to_try_again(
    availability: dict[str, object],
) -> None:
    with pytest.raises(ModelNotReady) as told:
        run(models(TWO, **availability).of_session(OF_ONE))
    assert (told.value.applied, told.value.step, told.value.retry_after) == ("no", 7, 1)


@pytest.mark.parametrize(
    ("loaded", "elsewhere", "message"),
    [
        (TWO, frozenset(), "no longer served"),
        (TWO, frozenset({VersionKey("adder", "1", "another")}), "no longer served"),
        (replace(ONE, fingerprint="33" * 32), frozenset(), "changed in place"),
    ],
)
def test_a_session_whose_version_nobody_has_is_told_that_it_is_gone(
    loaded: ModelVersion, elsewhere: frozenset[VersionKey], message: str
) -> None:
    with pytest.raises(ModelVersionGone, match=message) as told:
        run(models(loaded, elsewhere=elsewhere).of_session(OF_ONE))
    assert (told.value.applied, told.value.step) == ("no", 7)


def test_a_version_that_retires_elsewhere_is_not_ready_for_predictions_and_not_found_for_new_sessions() -> None:
    looked_up = models(TWO, elsewhere=frozenset({ONE.version_key}))
    with pytest.raises(ModelNotReady):
        run(looked_up.version("adder", "1"))
    with pytest.raises(VersionNotFound, match="is not served"):
        run(looked_up.for_session("adder", "1"))
    with pytest.raises(ModelVersionGone, match=r"expected that of a served version of adder: 2{12}\.\.\. \(2\)"):
        run(looked_up.of_state("adder", "1", ONE.fingerprint))


def test_a_state_belongs_to_the_open_version_of_its_fingerprint_whatever_that_is_called() -> None:
    renamed = replace(ONE, version="3")
    looked_up = models(ONE, TWO, renamed, open=frozenset({ONE.version_key, TWO.version_key, renamed.version_key}))
    assert run(looked_up.of_state("adder", "1", ONE.fingerprint)) == ONE
    assert run(looked_up.of_state("adder", "9", ONE.fingerprint)) == renamed
    elsewhere = models(TWO, open_elsewhere=frozenset({renamed.version_key}))
    with pytest.raises(ModelNotReady):
        run(elsewhere.of_state("adder", "1", ONE.fingerprint))


def test_what_is_found_at_once_needs_no_fresh_look_and_what_is_not_one() -> None:
    looked_up, looks = models(TWO), 0

    async def refresh() -> None:
        nonlocal looks
        looks += 1

    looked_up.refresh = refresh
    run(looked_up.version("adder", "2"))
    run(looked_up.of_session(session_on(TWO)))
    assert looks == 0
    for number, (ask, refusal) in enumerate(
        (
            (looked_up.version("adder", "3"), VersionNotFound),
            (looked_up.versions("other"), ModelNotFound),
            (looked_up.of_session(OF_ONE), ModelVersionGone),
        )
    ):
        with pytest.raises(refusal):
            run(ask)
        assert looks == number + 1
