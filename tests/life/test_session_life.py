"""The life of sessions against the reference, over a real store and two workers."""

from collections import Counter
from collections.abc import Iterator

import hypothesis
import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.life.machine import SessionLife
from tests.life.world import World, running_world
from tests.server import short_folder

#: `python -m tests.life` goes on for as long as it is told.
EXAMPLES = 12
STEPS = 100


def live(world: World, seen: "Counter[str]", examples: int, seed: int | None = None) -> None:
    """Run so many stories and count in `seen` what happened in them; without a seed, always the same ones."""
    SessionLife.world, SessionLife.seen = world, seen
    if seed is not None:
        hypothesis.seed(seed)(SessionLife)
    settings = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        derandomize=seed is None,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    run_state_machine_as_test(SessionLife, settings=settings)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with short_folder() as folder, running_world(folder) as running:
        yield running


def test_sessions_keep_their_promises_whatever_clients_do_and_the_store_forgets(world: World) -> None:
    seen: Counter[str] = Counter()
    live(world, seen, EXAMPLES)
    rare = {"step replayed", "step step_conflict yes", "step idempotency_key_reused no", "expired", "deleted"}
    assert rare <= seen.keys(), f"the stories have become too dull to break a promise: {seen}"
