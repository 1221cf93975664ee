"""One run: start the service, then for each attack a calm interval, the attack, and the recovery."""

import asyncio
import contextlib
import dataclasses
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.attack.attackers.base import Attacker, Target
from tests.attack.attackers.catalog import ATTACKERS
from tests.attack.expected import Script, write_scripts
from tests.attack.judge import Phase, Row
from tests.attack.launch import launch
from tests.attack.measure import MIB, Sampler, complaints, end_tasks
from tests.attack.report import Report
from tests.attack.service import Service, running_alone, running_replicas
from tests.attack.victim import STREAMS, Victim
from tests.attack.wire import Connection, pack
from tests.server import ROOT, short_folder

ATTACKER_KEY, VICTIM_KEY = "alice-key-1", "bob-key-2"
_API_KEYS = f"alice:{ATTACKER_KEY},bob:{VICTIM_KEY}"
_CALM_SECONDS = 0.4
_RECOVERY_SECONDS = 30.0
_CLEANUP_SECONDS = 10.0
#: The defaults need longer than most attacks last: to notice a worker that hangs, and to be full.
_SETTINGS = {"watchdog_seconds": 2, "store_max_bytes": 64 * MIB}
_FILLING = {"store", "outage"}
_WARM_UP: list[tuple[str, object]] = [
    ("/v1/models/translate-en-fr/predict", {"input": {"text": "Where is it?"}, "options": {"beam_size": 16}}),
    ("/v1/models/taxi-forecast/predict", {"input": {"values": [9000], "timestamps": ["2015-01-05T00:00:00Z"]}}),
    ("/v1/models/next-word/generate", {"input": {"text": "I"}}),
    ("/openapi.json", None),
    ("/metrics", None),
]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of a run; `source` is the attackers' loopback address, which tells them apart without keys.

    With `proxy` there are two replicas behind the proxy, each with so many workers.
    """

    names: Sequence[str] = tuple(ATTACKERS)
    seconds: float = 5.0
    seed: int = 1
    scale: float = 1.0
    count: int = 1_000_000_000
    workers: int = 1
    source: str | None = None
    keyless: bool = False
    proxy: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    show: Callable[[Row], None] = lambda row: None


async def run(options: RunOptions) -> Report:
    """Run the named attacks, each on the same service as long as that recovers, and return the report."""
    rows, verified = list[Row](), 0
    attackers = [ATTACKERS[name] for name in options.names]
    with short_folder() as folder:
        models = link_models(folder)
        scripts = write_scripts(models, STREAMS)
        while attackers:
            async with running_arena(folder, models, scripts, options) as arena:
                while attackers:
                    rows.append(await arena.attack(attackers.pop(0)))
                    options.show(rows[-1])
                    if attackers and rows[-1].family == attackers[0].family == "store":
                        await arena.delete_sessions()
                    if attackers and _needs_new_service(rows[-1], attackers[0]):
                        break
                verified += arena.victim.evidence.verified
            shutil.rmtree(arena.server.state_dir, ignore_errors=True)
    return Report(rows, options.seconds, options.seed, commit(), verified)


def _needs_new_service(row: Row, following: Attacker) -> bool:
    """Whether the service did not recover, or its store is full of what the attacks on it left behind."""
    return row.recovery is None or (row.family in _FILLING and following.family not in _FILLING)


@dataclass(slots=True, eq=False)
class Arena:
    """The running service with its victim and its sampler."""

    server: Service
    options: RunOptions
    models: Path
    port: int
    grpc_port: int
    victim: Victim
    sampler: Sampler

    async def attack(self, attacker: Attacker) -> Row:
        """Measure the victim undisturbed, then attacked, and wait until the service has recovered."""
        evidence, log = self.victim.evidence, Counter(complaints(self.server.log))
        refusals, violations = evidence.refusals.copy(), len(evidence.violations)
        before, calm_from = self.sampler.start_interval(), time.monotonic()
        await asyncio.sleep(max(_CALM_SECONDS, self.options.seconds / 2))
        child = await launch(attacker.name, self.target())
        during, attacked_from = self.sampler.start_interval(), time.monotonic()
        tally = await child.tally()
        attacked_until = time.monotonic()
        recovery = await self._recovery()
        return Row(
            attacker.name,
            attacker.family,
            self._phase(calm_from, attacked_from),
            self._phase(attacked_from, attacked_until),
            before,
            during,
            tally,
            evidence.refusals - refusals,
            evidence.violations[violations:],
            [*(Counter(complaints(self.server.log)) - log).elements()],
            recovery,
        )

    async def delete_sessions(self) -> None:
        """Delete what the attacker left in the store, as far as there is time for it."""
        connection, key = Connection(self.port), self.target().key
        with contextlib.suppress(OSError, EOFError, ValueError):
            async with asyncio.timeout(_CLEANUP_SECONDS):
                while listed := (await connection.send(pack("GET", "/v1/sessions?limit=100", None, key))).json["data"]:
                    for session in listed:
                        await connection.send(pack("DELETE", f"/v1/sessions/{session['id']}", None, key))
        connection.close()

    def _phase(self, since: float, until: float) -> Phase:
        samples = [sample for sample in self.victim.evidence.samples if sample.sent < until and sample.ended > since]
        return Phase(until - since, samples)

    def target(self, **changes: Any) -> Target:
        """Return what an attacker knows of the service; `changes` are fields that differ from the options."""
        options = self.options
        target = Target(
            port=self.port,
            key="" if options.keyless else ATTACKER_KEY,
            seconds=options.seconds,
            grpc_port=self.grpc_port,
            models=self.models,
            state=self.server.state_dir,
            workers=tuple(self.server.worker_pids()),
            store=tuple(self.server.store_pids()),
            seed=options.seed,
            scale=options.scale,
            count=options.count,
            source=options.source,
        )
        return dataclasses.replace(target, **changes)

    async def _recovery(self) -> float | None:
        """Return after how many seconds all of the victim's streams are answered again, None if that takes too long."""
        ended = time.monotonic()
        while (waited := time.monotonic() - ended) < _RECOVERY_SECONDS:
            await asyncio.sleep(0.1)
            later = [sample for sample in self.victim.evidence.samples if sample.sent > ended]
            if len({sample.stream for sample in later if sample.answered}) == STREAMS:
                return waited
        return None


@contextlib.asynccontextmanager
async def running_arena(
    folder: Path, models: Path, scripts: Sequence[Script], options: RunOptions
) -> AsyncIterator[Arena]:
    """Start the service, warm it up, and start the victim and the sampler."""
    api_keys = "" if options.keyless else _API_KEYS
    settings: dict[str, Any] = {"api_keys": api_keys, "access_log": "off"} | _SETTINGS | options.settings
    running = (running_replicas if options.proxy else running_alone)(folder, models, options.workers, settings)
    place = await asyncio.to_thread(running.__enter__)
    try:
        port, grpc_port, service = place.port, place.grpc_port, place.service
        key = "" if options.keyless else VICTIM_KEY
        try:
            await warm_up(port, key)
        except Exception as error:
            error.add_note(service.log[-10_000:])
            raise
        victim, sampler = Victim(port, key, scripts, grpc_port), Sampler(service, port)
        tasks = [asyncio.create_task(victim.run()), asyncio.create_task(sampler.run())]
        try:
            yield Arena(service, options, models, port, grpc_port, victim, sampler)
        finally:
            await end_tasks(tasks)
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


async def warm_up(port: int, key: str) -> None:
    """Use each model once, so that memory that is allocated once does not count as growth."""
    connection = Connection(port)
    try:
        for path, body in _WARM_UP:
            await connection.send(pack("GET" if body is None else "POST", path, body, key))
    finally:
        connection.close()


def link_models(folder: Path) -> Path:
    """Return a folder of models to which an attacker can add: the bundled ones are links."""
    models = folder / "models"
    models.mkdir()
    for bundled in (ROOT / "models").iterdir():
        if (bundled / "1").is_dir():
            (models / bundled.name).symlink_to(bundled)
    return models


def commit() -> str:
    """Return the commit that runs, or `unknown` outside a work tree."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return completed.stdout.strip() or "unknown"
