"""A worker of the service with points of attack in it; tests/chaos/serve.py has the supervisor start it."""

import os
import sys
from pathlib import Path

from service.bootstrap.worker import Overrides
from service.process import worker
from tests.chaos.broken import make_store
from tests.chaos.control import Control
from tests.chaos.ports import JumpingClock, WatchedEngine


def overrides(control: Control, broken: str) -> Overrides:
    """The real parts, watched; a broken build has another store."""
    return Overrides(
        clock=JumpingClock(control),
        engine=lambda engine: WatchedEngine(engine, control),
        store=lambda store: make_store(broken, store, control),
    )


if __name__ == "__main__":
    control = Control(Path(os.environ["CHAOS_CONTROL"]))
    sys.exit(worker.main(overrides(control, os.environ.get("CHAOS_BROKEN", ""))))
