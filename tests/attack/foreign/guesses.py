"""API keys that are guessed one after the other, each from an address that its header makes up."""

import random

from service.settings import Settings
from tests.attack.foreign.known import near
from tests.attack.foreign.tenants import key_of
from tests.attack.wire import Connection, pack

_WORKERS = 2
#: More than all workers together refuse of one address without a pause.
COUNT = _WORKERS * Settings.model_fields["max_wrong_keys"].default + 10


async def guess_keys(port: int, seed: int) -> list[str]:
    """Guess, and return what is wrong: the guesses are never limited, or one is no refusal."""
    choose, connection, found = random.Random(f"keys {seed}"), Connection(port), list[str]()
    try:
        labels = []
        for _ in range(COUNT):
            address = ".".join(str(choose.randrange(1, 255)) for _ in range(4))
            headers = {"X-Forwarded-For": address, "X-Real-IP": address, "Forwarded": f"for={address}"}
            wrong = near(choose, key_of("operators"), len("unroll_"))
            labels.append((await connection.send(pack("GET", "/v1/models", None, wrong, headers))).label)
    finally:
        connection.close()
    found += [f"a wrong key was answered {label}" for label in {*labels} - {"401 invalid_api_key", "429 rate_limited"}]
    if "429 rate_limited" not in labels:
        found.append(f"{COUNT} wrong keys from as many addresses that headers made up were not limited")
    return found
