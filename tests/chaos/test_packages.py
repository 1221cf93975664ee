"""Clients of packages: what they write down is judged, and they tell wrong answers."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.chaos.automaton import write_automaton
from tests.chaos.checksum import write_checksum
from tests.chaos.contents import Reset, Words
from tests.chaos.driver import Shared
from tests.chaos.http1 import NOTHING, Reply
from tests.chaos.journal import Part, Request, Session
from tests.chaos.judge import Judge
from tests.chaos.packages.catalog import PACKAGES
from tests.chaos.packages.sequences import Ask, Window, refusal
from tests.chaos.packages.steps import Steps
from tests.chaos.risks import Risks
from tests.chaos.roster import CLIENTS, Role
from tests.server import Server, short_folder
from unroll_client import SessionInfo

ROLES = [role for role in CLIENTS if role.package and role.model in {"adder", "checksum"}]
SECONDS = 2.0


@pytest.fixture(scope="module", params=[0, 1], ids=["right network", "wrong network"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[Server, bool]]:
    """A service of the automaton and of the checksum, or of other ones in their place."""
    with short_folder() as folder:
        write_automaton(folder / "models", "adder", variant=request.param)
        write_checksum(folder / "models", "checksum", factor=3 + request.param)
        with Server(folder, models=folder / "models", workers=2, grpc_port=0) as running:
            yield running, request.param == 0


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "role", ROLES, ids=[f"{role.package}-{role.model}{'-socket' * role.websocket}" for role in ROLES]
)
def test_a_client_of_a_package_sees_right_from_wrong(role: Role, server: tuple[Server, bool]) -> None:
    running, right = server
    shared = asyncio.run(_work(running, replace(role, durability="memory")))
    violations, verified = Judge(Path(), Risks()).verdict(shared.sessions, 1)
    assert bool(violations + shared.wrong) is not right, (violations, shared.wrong)
    assert (verified + shared.checked)["completions" if role.package == "openai" else "steps"] > 0 or not right


async def _work(running: Server, role: Role) -> Shared:
    shared = Shared(time.monotonic() + SECONDS, Counter(), Counter())
    ports = (int(address.rpartition(":")[2]) for address in (running.url, running.grpc_address))
    client = PACKAGES[role.package](1, 1, role, shared, *ports)
    await client.run()
    await client.finish()
    await client.close()
    return shared


def refused(step: int) -> Reply:
    return refusal(f"step is 9: expected {step}, where the session stands", 0)


def answer_of(step: int) -> Reply:
    return Reply(200, b'{"step": %d}' % step)


@pytest.mark.parametrize(
    ("passes", "kinds"),
    [
        ([[answer_of(6), answer_of(7), answer_of(8)]], ["step", "step", "step"]),
        ([[answer_of(6)], [answer_of(7), answer_of(8)]], ["step", "step", "step"]),
        # The answers to the second and the third request were lost, and both were applied.
        ([[answer_of(6)], [refused(8)]], ["step", "unread", "unread"]),
        # The second one failed, and was applied: the third one tells.
        ([[answer_of(6), NOTHING, answer_of(8)]], ["step", "unread", "step"]),
        # The second one failed, and was not: the third one is refused for that alone.
        ([[answer_of(6), NOTHING, refused(6)], [answer_of(7), answer_of(8)]], ["step", "step", "step"]),
        # The store has lost a step that was answered.
        ([[answer_of(6), refused(5)]], ["step", "step"]),
        # A session that is ahead of all that was sent.
        ([[refused(8)]], ["step"]),
    ],
)
def test_a_window_tells_requests_that_were_applied_from_those_that_were_not(
    passes: list[list[Reply]], kinds: list[str]
) -> None:
    asks = [Ask("a", Request(Words(("a",)), step), last=False, timesteps=1) for step in (5, 6, 7)]
    window = Window(asks, [Part(ask.request) for ask in asks], 5)
    for replies in passes:
        assert not window.done
        window.take(replies, time.monotonic())
    assert window.done
    assert [event.kind for event in window.events()] == kinds
    assert window.refused is (passes[-1][-1].status == 409 and "unread" not in kinds)


@pytest.mark.parametrize("told", [6, 5])
def test_a_reset_of_a_package_knows_no_step_and_a_copy_of_it_may_come_late(told: int) -> None:
    now = datetime.now(UTC)
    session = Session("ses_a", "adder", "memory", 60, 0.0, 0.0, client=1)
    steps = Steps(session, 5, [Reset(None)])
    # At step 5 if the store has lost the step before it.
    steps.answer(SessionInfo("ses_a", "adder", "1", "next-word", told, 9, now, now, 60, "memory", 8))
    steps.settle(told)
    (part,) = session.events[0].parts
    assert part.loose
    assert part.reply.json["step"] == told
