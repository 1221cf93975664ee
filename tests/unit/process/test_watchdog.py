"""The watchdog finds workers whose event loop hangs, and blames none for a time in which nobody ran."""

from dataclasses import dataclass

from service.process.watchdog import Watchdog


@dataclass
class FakeWorker:
    """Worker that beats as the test says."""

    pid: int = 1
    up: bool = True
    beating: bool = True
    dumps: int = 0

    def ready(self) -> bool:
        return self.up

    def heartbeat(self) -> bool:
        return self.beating

    def dump_stacks(self) -> None:
        self.dumps += 1


class Watched:
    """A watchdog of ten seconds that checks every half second."""

    def __init__(self, *workers: FakeWorker, seconds: float = 10.0) -> None:
        self.workers = workers
        self.watchdog = Watchdog(seconds)
        self.now = 1000.0

    def run(self, seconds: float) -> set[int]:
        """Let time pass; return the workers that were found to hang."""
        found: set[int] = set()
        for _ in range(int(seconds * 2)):
            self.now += 0.5
            found |= self.watchdog.hung(self.workers, self.now)
        return found


def test_a_worker_that_falls_silent_dumps_its_stacks_once_and_then_counts_as_hung() -> None:
    worker, other = FakeWorker(), FakeWorker(2)
    watched = Watched(worker, other)
    assert watched.run(100) == set()
    worker.beating = False
    assert watched.run(9.5) == set()
    assert worker.dumps == 0
    assert watched.run(0.5) == set()
    assert worker.dumps == 1
    assert watched.run(2) == {1}
    assert (worker.dumps, other.dumps) == (1, 0)


def test_a_worker_that_beats_again_after_its_dump_is_spared() -> None:
    worker = FakeWorker()
    watched = Watched(worker)
    watched.run(1)
    worker.beating = False
    watched.run(10)
    worker.beating = True
    assert watched.run(1) == set()
    worker.beating = False
    assert watched.run(9.5) == set()


def test_a_worker_that_is_starting_may_take_any_time() -> None:
    worker = FakeWorker(up=False, beating=False)
    assert Watched(worker).run(1000) == set()
    assert worker.dumps == 0


def test_time_in_which_the_supervisor_did_not_run_does_not_count() -> None:
    worker = FakeWorker()
    watched = Watched(worker)
    watched.run(1)
    worker.beating = False
    watched.now += 100_000
    assert watched.run(5) == set()
    assert worker.dumps == 0


def test_zero_seconds_turn_the_watchdog_off() -> None:
    worker = FakeWorker()
    watched = Watched(worker, seconds=0)
    watched.run(1)
    worker.beating = False
    assert watched.run(1000) == set()
