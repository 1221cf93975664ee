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
    assert not scans.of(EDITION, cluster(1000, opened=True)).due(1000)
    assert not scans.of(EDITION, cluster(1099)).due(1099)
    assert scans.of(EDITION, cluster(1100)).due(1100)


def test_the_search_rests_at_a_live_session_and_goes_on_from_there() -> None:
    scans = DrainScans(MARGIN_MS)
    scans.of(EDITION, cluster(1000))
    scan = scans.of(EDITION, cluster(1100))
    scan.reached(PLACE, 1100)
    later = scans.of(EDITION, cluster(9000))
    assert (later.due(9000), later.at, later.drained(9000)) == (True, PLACE, False)


def test_a_version_is_drained_when_the_search_found_nobody_and_nothing_moved_for_a_while() -> None:
    scans = DrainScans(MARGIN_MS)
    scans.of(EDITION, cluster(1000)).reached(None, 1100)
    assert not scans.of(EDITION, cluster(1199)).drained(1199)
    assert scans.of(EDITION, cluster(1200)).drained(1200)


def test_a_session_that_moved_or_was_forked_meanwhile_starts_the_search_anew() -> None:
    scans = DrainScans(MARGIN_MS)
    scans.of(EDITION, cluster(1000)).reached(None, 1100)
    scan = scans.of(EDITION, cluster(1200, recently_used=True))
    assert (scan.at, scan.drained(1300), scan.due(1299), scan.due(1300)) == (None, False, False, True)


def test_a_worker_that_no_longer_searches_forgets_how_far_it_came() -> None:
    scans = DrainScans(MARGIN_MS)
    scans.of(EDITION, cluster(1000)).reached(PLACE, 1100)
    scans.keep(set())
    assert scans.of(EDITION, cluster(2000)).at is None
