"""A hostile tenant beside the clients: one attack after the other, chosen by the seed, from another address."""

import random
from collections import Counter

from tests.attack.attackers.base import Target
from tests.attack.attackers.catalog import ATTACKERS
from tests.attack.launch import launch
from tests.chaos.driver import Shared

#: The tenants of a run with a hostile one, and their keys.
CLIENT_KEY, HOSTILE_KEY = "client-key", "hostile-key"
API_KEYS = f"clients:{CLIENT_KEY},hostile:{HOSTILE_KEY}"
_SECONDS = 5.0
_SOURCE = "127.0.0.2"
#: The faults of the suite itself do what these families do.
_LEFT_OUT = {"folders", "files", "outage", "hang"}
_NAMES = [name for name, attacker in ATTACKERS.items() if attacker.family not in _LEFT_OUT]


async def harass(port: int, grpc_port: int, seed: int, shared: Shared, counts: Counter[str]) -> None:
    """Attack until the run ends; counts attacks by name, and answers of 500 among their responses."""
    choose, number = random.Random(f"hostile {seed}"), 0
    while not shared.stopping():
        number += 1
        name = choose.choice(_NAMES)
        target = Target(port, HOSTILE_KEY, _SECONDS, grpc_port, seed=number, source=_SOURCE)
        child = await launch(name, target)
        tally = await child.tally()
        counts[name] += 1
        counts["answers of 500"] += sum(count for label, count in tally.labels.items() if label.startswith("500"))
