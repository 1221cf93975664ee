"""A retiring version is drained if a scan finds no live session of it and none was used meanwhile."""

from service.application.model_versions.session_scan import DrainScans
from service.domain.models import ClusterView, ServedVersion, VersionKey
from service.domain.sessions import IndexPosition

VERSION = VersionKey("m", "1", "a")
MARGIN_MS = 100
POSITION = IndexPosition("tenant", 1, "session")


def cluster(now: int, *, opened: bool = False, recently_used: bool = False) -> ClusterView:
    return ClusterView(now, {}, {"one": (), "two": (ServedVersion(VERSION, opened, recently_used),)})


def test_a_scan_begins_after_no_worker_took_new_sessions_for_a_while() -> None:
    scans = DrainScans(MARGIN_MS)
    assert not scans.get(VERSION, cluster(1000, opened=True)).can_continue(1000)
    assert not scans.get(VERSION, cluster(1099)).can_continue(1099)
    assert scans.get(VERSION, cluster(1100)).can_continue(1100)


def test_a_scan_stops_at_a_live_session_and_continues_from_there() -> None:
    scans = DrainScans(MARGIN_MS)
    scans.get(VERSION, cluster(1000))
    scan = scans.get(VERSION, cluster(1100))
    scan.advance(POSITION, 1100)
    later = scans.get(VERSION, cluster(9000))
    assert (later.can_continue(9000), later.position, later.confirmed(9000)) == (True, POSITION, False)


def test_a_version_is_drained_if_a_scan_found_no_session_and_none_was_used_for_a_while() -> None:
    scans = DrainScans(MARGIN_MS)
    scans.get(VERSION, cluster(1000)).advance(None, 1100)
    assert not scans.get(VERSION, cluster(1199)).confirmed(1199)
    assert scans.get(VERSION, cluster(1200)).confirmed(1200)


def test_a_session_that_was_used_or_forked_meanwhile_restarts_the_scan() -> None:
    scans = DrainScans(MARGIN_MS)
    scans.get(VERSION, cluster(1000)).advance(None, 1100)
    scan = scans.get(VERSION, cluster(1200, recently_used=True))
    assert (scan.position, scan.confirmed(1300), scan.can_continue(1299), scan.can_continue(1300)) == (
        None,
        False,
        False,
        True,
    )


def test_a_worker_that_no_longer_scans_drops_its_position() -> None:
    scans = DrainScans(MARGIN_MS)
    scans.get(VERSION, cluster(1000)).advance(POSITION, 1100)
    scans.retain(set())
    assert scans.get(VERSION, cluster(2000)).position is None
