"""Which versions take new sessions, retire and are unloaded, by what lies on disk and what the workers know."""

from dataclasses import replace

import pytest

from service.application.model_versions.retirement import MARK_RETENTION_MS, Retirement, RetirementPlan
from service.domain.models import ClusterView, RetirementMark, ServedVersion, VersionFolder, VersionKey

GRACE_MS = 60_000
NOW = 1_000_000


def version_key(version: int, content: str = "a", model: str = "m") -> VersionKey:
    return VersionKey(model, str(version), content)


def folder(version: int, content: str | None = "a", model: str = "m", **fields: bool) -> VersionFolder:
    return VersionFolder(model, str(version), f"signature of {version}{content}", content, **fields)


class World:
    """One worker's look after look; what it plans comes true."""

    def __init__(self, *versions: int, retire_superseded: bool = True) -> None:
        self.retirement = Retirement(GRACE_MS, retire_superseded)
        self.folders = [folder(one) for one in sorted(versions, reverse=True)]
        self.loaded = [version_key(one) for one in sorted(versions)]
        self.cluster = ClusterView(NOW)
        self.look()

    def look(self) -> RetirementPlan:
        plan = self.retirement.plan(self.folders, self.loaded, self.cluster)
        kept = {one: mark for one, mark in self.cluster.marks.items() if one not in plan.unmark}
        served = tuple(ServedVersion(one, one in plan.open) for one in self.loaded)
        self.cluster = replace(self.cluster, marks=plan.mark | kept, workers=self.cluster.workers | {"this": served})
        return plan

    def put(self, version: int) -> RetirementPlan:
        """A version's folder comes and is loaded."""
        self.folders = sorted([*self.folders, folder(version)], key=lambda one: -int(one.version))
        self.loaded = sorted({*self.loaded, version_key(version)}, key=lambda one: one.number)
        return self.look()

    def take(self, version: int) -> RetirementPlan:
        """A version's folder goes."""
        self.folders = [one for one in self.folders if one.version != str(version)]
        return self.look()

    def wait(self, milliseconds: int) -> RetirementPlan:
        self.cluster = replace(self.cluster, now=self.cluster.now + milliseconds)
        return self.look()

    def unload(self, *versions: int) -> None:
        self.loaded = [one for one in self.loaded if one.number not in versions]

    def drain(self, version: int) -> RetirementPlan:
        marks = self.cluster.marks
        marks[version_key(version)] = replace(marks[version_key(version)], drained=True)
        return self.look()


def test_versions_that_stand_together_at_the_start_are_all_served() -> None:
    plan = World(1, 2, 10).look()
    assert plan == RetirementPlan(frozenset({version_key(1), version_key(2), version_key(10)}), (), (), {}, ())


def test_a_newer_version_that_joins_retires_the_older_ones() -> None:
    world = World(1, 2)
    assert world.put(10).mark == {
        version_key(1): RetirementMark(NOW, "superseded", "signature of 1a"),
        version_key(2): RetirementMark(NOW, "superseded", "signature of 2a"),
    }
    assert world.look().open == {version_key(10)}


def test_an_older_version_that_joins_retires_nobody() -> None:
    world = World(2)
    assert world.put(1).mark == {}
    assert world.look().open == {version_key(1), version_key(2)}


def test_models_do_not_retire_each_other() -> None:
    world = World(1)
    world.folders.insert(0, folder(5, model="other"))
    world.loaded.append(version_key(5, model="other"))
    assert world.look().mark == {}


def test_superseded_versions_stay_where_they_are_not_to_retire() -> None:
    world = World(1, retire_superseded=False)
    assert world.put(2).mark == {}
    assert world.look().open == {version_key(1), version_key(2)}


def test_marks_from_before_that_setting_are_taken_back() -> None:
    world = World(1, 2, retire_superseded=False)
    world.cluster.marks[version_key(1)] = RetirementMark(NOW, "superseded", drained=True)
    plan = world.look()
    assert (plan.open, plan.unmark, plan.unload) == ({version_key(1), version_key(2)}, (version_key(1),), ())


def test_a_broken_version_changes_nothing() -> None:
    world = World(1)
    world.folders.insert(0, folder(2, None, refused=True))
    assert world.look() == RetirementPlan(frozenset({version_key(1)}), (), (), {}, ())


def test_a_version_that_is_still_loading_changes_nothing_but_that_it_is_awaited() -> None:
    world = World(1)
    world.folders.insert(0, folder(2, None))
    plan = world.look()
    assert (plan.open, [one.version for one in plan.awaited], plan.mark) == ({version_key(1)}, ["2"], {})


def test_a_version_changed_in_place_serves_as_it_was_until_its_folder_is_loaded_anew() -> None:
    world = World(1)
    world.folders = [folder(1, None)]
    plan = world.look()
    assert (plan.open, [one.version for one in plan.awaited]) == ({version_key(1)}, ["1"])
    world.folders, world.loaded = [folder(1, "b")], [version_key(1, "b")]
    assert world.look() == RetirementPlan(frozenset({version_key(1, "b")}), (), (), {}, ())


def test_a_version_changed_in_place_for_a_broken_one_goes_on_serving() -> None:
    world = World(1)
    world.folders = [folder(1, None, refused=True)]
    assert world.look() == RetirementPlan(frozenset({version_key(1)}), (), (), {}, ())


def test_a_version_whose_folder_is_gone_takes_no_new_sessions_and_retires() -> None:
    world = World(1, 2)
    plan = world.take(1)
    assert (plan.open, plan.mark) == ({version_key(2)}, {version_key(1): RetirementMark(NOW, "removed")})


def test_the_last_version_retires_like_any_other_when_its_folder_is_gone() -> None:
    plan = World(1).take(1)
    assert (plan.open, plan.mark) == (frozenset(), {version_key(1): RetirementMark(NOW, "removed")})


def test_a_retiring_version_is_unloaded_when_its_grace_time_is_over() -> None:
    world = World(1)
    world.put(2)
    assert world.wait(GRACE_MS - 1).unload == ()
    assert world.wait(1).unload == (version_key(1),)


def test_a_retiring_version_is_unloaded_when_nobody_needs_it() -> None:
    world = World(1)
    world.put(2)
    assert world.drain(1).unload == (version_key(1),)


def test_what_was_unloaded_is_not_loaded_again() -> None:
    world = World(1)
    world.put(2)
    world.drain(1)
    world.unload(1)
    assert world.look().awaited == ()


def test_a_worker_that_starts_knows_what_nobody_needs_by_the_signature_of_its_folder() -> None:
    world = World(1)
    world.put(2)
    world.drain(1)
    unknown = [folder(2, None), replace(folder(1), fingerprint=None)]
    awaited = Retirement(GRACE_MS).awaited(unknown, [], world.cluster)
    assert [one.version for one in awaited] == ["2"]


def test_a_worker_that_starts_loads_a_version_that_is_still_retiring() -> None:
    world = World(1)
    world.put(2)
    unknown = [folder(2, None), replace(folder(1), fingerprint=None)]
    assert Retirement(GRACE_MS).awaited(unknown, [], world.cluster) == unknown
    plan = Retirement(GRACE_MS).plan(world.folders, world.loaded, world.cluster)
    assert (plan.open, plan.mark, plan.unmark) == ({version_key(2)}, {}, ())


def test_a_drained_version_is_loaded_where_the_newer_one_is_broken() -> None:
    world = World(1)
    world.put(2)
    world.drain(1)
    unknown = [folder(2, None, refused=True), replace(folder(1), fingerprint=None)]
    assert [one.version for one in Retirement(GRACE_MS).awaited(unknown, [], world.cluster)] == ["1"]


def test_removing_the_newest_version_brings_the_one_before_back_at_once() -> None:
    world = World(1)
    world.put(2)
    plan = world.take(2)
    assert plan.open == {version_key(1)}
    assert plan.mark == {version_key(2): RetirementMark(NOW, "removed")}
    plan = world.look()
    assert plan.unmark == (version_key(1),)
    assert world.wait(GRACE_MS).unload == (version_key(2),)
    assert world.look().open == {version_key(1)}


def test_removing_the_newest_version_loads_the_one_before_again() -> None:
    world = World(1)
    world.put(2)
    world.drain(1)
    world.unload(1)
    plan = world.take(2)
    assert [one.version for one in plan.awaited] == ["1"]
    assert plan.open == {version_key(2)}, "it serves until the other one is loaded"
    world.loaded.insert(0, version_key(1))
    assert world.look().open == {version_key(1)}
    world.look()
    assert version_key(1) not in world.cluster.marks


def test_a_version_that_comes_back_supersedes_again() -> None:
    world = World(1)
    world.put(2)
    world.take(2)
    world.look()
    world.put(2)
    world.look()
    assert world.look().open == {version_key(2)}
    assert set(world.cluster.marks) == {version_key(1)}


def test_a_removed_folder_that_comes_back_serves_again() -> None:
    world = World(1, 2)
    world.take(1)
    world.folders.append(folder(1))
    assert world.look().unmark == (version_key(1),)
    assert world.look().open == {version_key(1), version_key(2)}


def test_a_worker_without_the_newer_version_goes_on_and_leaves_the_mark_to_those_who_have_it() -> None:
    world = World(1)
    world.cluster.marks[version_key(1)] = RetirementMark(NOW, "superseded")
    world.cluster.workers["other"] = (
        ServedVersion(version_key(1), accepts_sessions=False),
        ServedVersion(version_key(2), accepts_sessions=True),
    )
    plan = world.wait(GRACE_MS)
    assert (plan.open, plan.unload, plan.unmark) == ({version_key(1)}, (), ())


def test_another_edition_of_a_retiring_version_is_not_retiring() -> None:
    world = World(1)
    world.put(2)
    world.folders[-1], world.loaded[0] = folder(1, "b"), version_key(1, "b")
    assert world.look().open == {version_key(1, "b"), version_key(2)}


def test_a_mark_waits_for_the_store() -> None:
    world = World(1)
    world.put(2)
    world.cluster.marks.clear()  # it could not be written
    assert set(world.look().mark) == {version_key(1)}


@pytest.mark.parametrize(("waited", "forgotten"), [(MARK_RETENTION_MS - 1, ()), (MARK_RETENTION_MS, (version_key(1),))])
def test_marks_of_what_is_nowhere_any_more_are_forgotten_in_the_end(
    waited: int, forgotten: tuple[VersionKey, ...]
) -> None:
    world = World(1, 2)
    world.take(1)
    world.unload(1)
    world.look()
    assert world.wait(GRACE_MS + waited).unmark == forgotten
