"""Clients of packages: what they write down is judged, and they tell wrong answers."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.automaton import write_automaton
from tests.chaos.driver import Shared
from tests.chaos.judge import Judge
from tests.chaos.packages.catalog import PACKAGES
from tests.chaos.risks import Risks
from tests.chaos.roster import CLIENTS, Role
from tests.server import Server, short_folder

ROLES = [role for role in CLIENTS if role.package and role.model == "adder"]
SECONDS = 3.0


@pytest.fixture(scope="module", params=[0, 1], ids=["right network", "wrong network"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[Server, bool]]:
    """A service of the automaton, or of another one in its place."""
    with short_folder() as folder:
        write_automaton(folder / "models", "adder", variant=request.param)
        with Server(folder, models=folder / "models", workers=2) as running:
            yield running, request.param == 0


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("role", ROLES, ids=[f"{role.package}{'-socket' * role.websocket}" for role in ROLES])
def test_a_client_of_a_package_sees_right_from_wrong(role: Role, server: tuple[Server, bool]) -> None:
    running, right = server
    shared = asyncio.run(_work(int(running.url.rpartition(":")[2]), replace(role, durability="memory")))
    violations, verified = Judge(Path(), Risks()).verdict(shared.sessions, 1)
    assert bool(violations + shared.wrong) is not right, (violations, shared.wrong)
    assert (verified + shared.checked)["completions" if role.package == "openai" else "steps"] > 0 or not right


async def _work(port: int, role: Role) -> Shared:
    shared = Shared(time.monotonic() + SECONDS, Counter(), Counter())
    client = PACKAGES[role.package](1, 1, role, shared, port)
    await client.run()
    await client.finish()
    await client.close()
    return shared
