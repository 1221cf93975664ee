"""What the lookup of an API key costs a step: no keys, one key in the environment, and a file of 1,000 keys.

    python -m benchmarks.key_lookup [--quick] [--json FILE]

Three services of one worker each serve REF-LM with 64 sessions, in turns; steps/s and the processor time of the worker
are measured. All requests carry a key, also those to the service without keys, which does not read it. Beside that, the
lookup alone is timed.
"""

import secrets
import statistics
import tempfile
import timeit
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import generator, ours
from benchmarks.processes import processor_seconds
from benchmarks.program import run_program
from service.application.access.authenticator import Authenticator
from service.application.access.key_ring import KeyRing
from service.domain.access.api_keys import ApiKey, digest_of, format_keys, new_id, new_key

SESSIONS = 64
KEYS = 1000
WARM_UP_SECONDS = 2.0
KINDS = ("no_keys", "one_key", "file_of_keys")
LOOKUPS = 20_000


@dataclass(frozen=True)
class Turn:
    """Steps per second, and microseconds of the worker's processor for a step."""

    rate: float
    microseconds: float


def make_keys(key: str) -> list[ApiKey]:
    """Return entries of 1,000 keys of as many tenants, one of them for `key`."""
    digests = [digest_of(key.encode()), *(secrets.token_bytes(32) for _ in range(KEYS - 1))]
    return [ApiKey(new_id(), f"tenant-{number}", digest, 0) for number, digest in enumerate(digests)]


def measure_turn(running: ours.RunningService, key: str, seconds: float) -> Turn:
    """Drive one service. Raises RuntimeError if a step failed."""
    sessions = ours.open_sessions(running.port, SESSIONS, key=key)
    before = processor_seconds(running.process, "service.process.worker")
    load = generator.run(running.port, sessions, SESSIONS, "stay", seconds, headers=[f"Authorization: Bearer {key}"])
    spent = processor_seconds(running.process, "service.process.worker") - before
    if load.errors:
        raise RuntimeError(f"{load.errors} requests failed")
    return Turn(load.rate, 1e6 * spent / (load.rate * seconds))


def measure(model: Path, rounds: int, seconds: float) -> dict[str, float]:
    """Measure in turns. Return the medians, and those of the ratios to the service without keys in each round."""
    key = new_key()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        file = Path(folder) / "keys.json"
        file.write_bytes(format_keys(make_keys(key)))
        settings: tuple[Mapping[str, object], ...] = ({}, {"api_keys": f"public:{key}"}, {"api_keys_file": file})
        services = {
            kind: stack.enter_context(ours.service(1, model.parent.parent, settings=chosen))
            for kind, chosen in zip(KINDS, settings, strict=True)
        }
        for running in services.values():
            measure_turn(running, key, WARM_UP_SECONDS)
        results = [
            {kind: measure_turn(running, key, seconds) for kind, running in services.items()} for _ in range(rounds)
        ]
    figures = {}
    for kind in KINDS:
        figures[f"{kind}_steps_per_second"] = statistics.median(row[kind].rate for row in results)
        figures[f"{kind}_worker_us"] = statistics.median(row[kind].microseconds for row in results)
    for kind in KINDS[1:]:
        of_none = [(row[kind], row["no_keys"]) for row in results]
        figures[f"{kind}_rate_of_none"] = statistics.median(one.rate / none.rate for one, none in of_none)
        figures[f"{kind}_time_of_none"] = statistics.median(
            one.microseconds / none.microseconds for one, none in of_none
        )
    return figures


def time_lookups() -> dict[str, float]:
    """Return the microseconds of one lookup, the least of many runs."""
    key = new_key()
    keyed = KeyRing(has_file=True)
    keyed.replace(make_keys(key), 1)
    rings = dict(zip(KINDS, (KeyRing(), KeyRing({key: "public"}), keyed), strict=True))
    figures = {}
    for kind, ring in rings.items():
        authenticate, sent = Authenticator(ring, 30).authenticate, key.encode()
        runs = timeit.repeat(lambda find=authenticate, sent=sent: find(sent, "address"), number=LOOKUPS, repeat=25)
        figures[f"{kind}_lookup_us"] = 1e6 * min(runs) / LOOKUPS
    return figures


def main() -> None:
    run_program(__doc__, lambda model, quick: time_lookups() | measure(model, *((1, 2.0) if quick else (7, 5.0))))


if __name__ == "__main__":
    main()
