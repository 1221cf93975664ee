"""When a retiring version counts as drained: searched from end to end while nothing moved."""

from service.application.model_versions.session_scan import DrainScans
from service.domain.models import ClusterView, ServedVersion, VersionKey
from service.domain.sessions import IndexPosition

EDITION = VersionKey("m", "1", "a")
MARGIN_MS = 100
PLACE = IndexPosition("tenant", 1, "session")


def cluster(now: int, *, opened: bool = False, recently_used: bool = False) -> ClusterView:
    return ClusterView(now, {}, {"one": (), "two": (ServedVersion(EDITION, opened, recently_used),)})


def test_the_search_begins_when_nobody_took_new_sessions_for_a_while() -> None:
    scans = DrainScans(MARGIN_MS)
    assert not scans.get(EDITION, cluster(1000, opened=True)).can_continue(1000)
    assert not scans.get(EDITION, cluster(1099)).can_continue(1099)
    assert scans.get(EDITION, cluster(1100)).can_continue(1100)


def test_the_search_rests_at_a_live_session_and_goes_on_from_there() -> None:
    scans = DrainScans(MARGIN_MS)
    scans.get(EDITION, cluster(1000))
    scan = scans.get(EDITION, cluster(1100))
    scan.advance(PLACE, 1100)
    later = scans.get(EDITION, cluster(9000))
    assert (later.can_continue(9000), later.position, later.confirmed(9000)) == (True, PLACE, False)


def test_a_version_is_drained_when_the_search_found_nobody_and_nothing_moved_for_a_while() -> None:
    scans = DrainScans(MARGIN_MS)
    scans.get(EDITION, cluster(1000)).advance(None, 1100)
    assert not scans.get(EDITION, cluster(1199)).confirmed(1199)
    assert scans.get(EDITION, cluster(1200)).confirmed(1200)


def test_a_session_that_moved_or_was_forked_meanwhile_starts_the_search_anew() -> None:
    scans = DrainScans(MARGIN_MS)
    scans.get(EDITION, cluster(1000)).advance(None, 1100)
    scan = scans.get(EDITION, cluster(1200, recently_used=True))
    assert (scan.position, scan.confirmed(1300), scan.can_continue(1299), scan.can_continue(1300)) == (
        None,
        False,
        False,
        True,
    )


def test_a_worker_that_no_longer_searches_forgets_how_far_it_came() -> None:
    scans = DrainScans(MARGIN_MS)
    scans.get(EDITION, cluster(1000)).advance(PLACE, 1100)
    scans.retain(set())
    assert scans.get(EDITION, cluster(2000)).position is None
