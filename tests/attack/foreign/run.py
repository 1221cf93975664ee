"""One run: two tenants with what they own, calm, then beside a hostile third one, and what all three found."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.domain.access.api_keys import digest_of
from tests.attack.expected import MODEL, Script, write_scripts
from tests.attack.foreign.guesses import guess_keys
from tests.attack.foreign.hostile import Hostile
from tests.attack.foreign.known import HOSTILE, Known
from tests.attack.foreign.report import Report, Seen
from tests.attack.foreign.tenants import NAMES, RESTRICTED, Tenant, key_of, working
from tests.attack.judge import Phase
from tests.attack.measure import complaints
from tests.attack.victim import STREAMS
from tests.drill.behind_proxy import running_behind_proxy
from tests.folders import write_language_model
from tests.server import ROOT, Server, short_folder


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of a run. Without the proxy there is one service, whose store is its own."""

    seed: int = 1
    attempts: int = 10_000
    proxy: bool = True
    pause: float = 0.1
    calm_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the tenants find the service, and the processes behind it."""

    port: int
    grpc_port: int
    servers: Sequence[Server]

    @property
    def log(self) -> str:
        return "".join(server.log for server in self.servers)


async def run(options: RunOptions) -> Report:
    """Run once, and return the report."""
    with short_folder() as folder:
        models = folder / "models"
        models.mkdir()
        (models / MODEL).symlink_to(ROOT / "models" / MODEL)
        write_language_model(models, RESTRICTED, hidden_size=16, seed=3)
        scripts = write_scripts(models, STREAMS * len(NAMES))
        async with _place(options, folder, models) as place:
            tenants = [
                await _tenant(name, place, scripts[number :: len(NAMES)], options) for number, name in enumerate(NAMES)
            ]
            hostile = Hostile(Known(tenants), place.port, place.grpc_port, options.seed, options.attempts)
            calm = time.monotonic()
            async with working(tenants):
                await asyncio.sleep(options.calm_seconds)
                started = time.monotonic()
                await hostile.run()
                if options.proxy:
                    hostile.findings.failures += await guess_keys(place.port, options.seed)
                ended = time.monotonic()
            wrong = [line for tenant in tenants for line in tenant.victim.evidence.violations]
            effects = [line for tenant in tenants for line in await tenant.complaints()]
            return Report(
                options.seed,
                options.proxy,
                ended - started,
                hostile.findings,
                effects,
                wrong,
                [*complaints(place.log)],
                [Seen(tenant.name, tenant.victim.evidence.verified, _phase(tenant, calm, started),
                      _phase(tenant, started, ended)) for tenant in tenants],
            )  # fmt: skip


async def _tenant(name: str, place: Place, scripts: Sequence[Script], options: RunOptions) -> Tenant:
    return await Tenant.create(name, place.port, place.grpc_port, scripts, options.pause)


def _phase(tenant: Tenant, since: float, until: float) -> Phase:
    samples = [sample for sample in tenant.victim.evidence.samples if since <= sample.sent < until]
    return Phase(until - since, samples)


@contextlib.asynccontextmanager
async def _place(options: RunOptions, folder: Path, models: Path) -> AsyncIterator[Place]:
    """Start what the tenants use, and stop it at the end."""
    running = _behind_proxy(folder, models) if options.proxy else _alone(folder, models)
    place = await asyncio.to_thread(running.__enter__)
    try:
        yield place
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


@contextlib.contextmanager
def _behind_proxy(folder: Path, models: Path) -> Iterator[Place]:
    settings = {"api_keys_file": write_keys(folder), "access_log": "off", "public_operations": "true"}
    with running_behind_proxy(folder, models, **settings) as running:
        yield Place(running.port, running.grpc_port, running.replicas)


@contextlib.contextmanager
def _alone(folder: Path, models: Path) -> Iterator[Place]:
    with Server(folder, models=models, grpc_port=0, api_keys_file=write_keys(folder), access_log="off") as server:
        ports = (int(address.rpartition(":")[2]) for address in (server.url, server.grpc_address))
        yield Place(*ports, [server])


def write_keys(folder: Path) -> Path:
    """Write the keys of the tenants, of an administrator, and of the hostile tenant, who may use one model."""
    entries = [{"tenant": name} for name in NAMES]
    entries += [{"tenant": "operators", "role": "admin"}, {"tenant": HOSTILE, "models": [MODEL]}]  # type: ignore[dict-item]
    keys = [
        {
            "id": f"key_{number:012x}",
            "digest": f"sha256:{digest_of(key_of(str(entry['tenant'])).encode()).hex()}",
            "created_at": "2026-01-01T00:00:00Z",
            **entry,
        }
        for number, entry in enumerate(entries)
    ]
    path = folder / "keys.json"
    path.write_text(json.dumps({"keys": keys}), "utf-8")
    return path
