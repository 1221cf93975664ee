"""The two tenants whom a hostile one attacks: what they have, and how they know that nobody touched it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from tests.attack.expected import MODEL, Script
from tests.attack.measure import end_tasks
from tests.attack.victim import Victim
from tests.attack.wire import Response
from tests.attack.witnesses import Asking, Creations, Witnesses

NAMES = ("tenant-one", "tenant-two")
#: A model that the hostile tenant may not use, and a name of the same length that no model has.
RESTRICTED, NO_MODEL = "house-rules", "house-bills"
_STREAMS = 5
_KEYED = 3
_LAST_SESSIONS_SECONDS = 120.0
_WORDS = {"input": {"text": "the"}}
_CREATIONS: Creations = [
    ({"model": MODEL, "kept_steps": 2}, [{"text": word} for word in ("I", "would", "like")], {"top_k": 5}),
    ({"model": RESTRICTED, "kept_steps": 2}, [{"text": word} for word in ("the", "dog")], {"top_k": 5}),
]


def key_of(tenant: str) -> str:
    """The API key of a tenant."""
    return f"unroll_the_api_key_of_{tenant.replace('-', '_')}"


@dataclass(frozen=True, slots=True)
class Begun:
    """A sequence of the Open Inference Protocol that has begun: its name and the session behind it."""

    name: str
    session: str


@dataclass(slots=True, eq=False)
class Tenant:
    """One tenant: streams of steps whose answers are verified, and sessions that lie still."""

    name: str
    port: int
    victim: Victim
    witnesses: Witnesses
    keyed: dict[str, str] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    sequences: list[Begun] = field(default_factory=list)
    cursors: list[str] = field(default_factory=list)
    files: list[bytes] = field(default_factory=list)

    @property
    def key(self) -> str:
        return key_of(self.name)

    @property
    def still(self) -> list[str]:
        """The sessions that nobody steps."""
        known = [witness.session for witness in self.witnesses.sessions]
        return [*known, *self.keyed.values(), *(sequence.session for sequence in self.sequences)]

    @property
    def sessions(self) -> list[str]:
        """Sessions that are live, or were a moment ago."""
        return [*self.still, *self.victim.evidence.sessions[-_STREAMS:]]

    @property
    def all_sessions(self) -> set[str]:
        return {*self.still, *self.ended, *self.victim.evidence.sessions}

    @classmethod
    async def create(cls, name: str, port: int, grpc_port: int, scripts: Sequence[Script], pause: float) -> "Tenant":
        """Create what a tenant has."""
        key = key_of(name)
        witnesses = await Witnesses.create(port, key, _CREATIONS)
        tenant = cls(name, port, Victim(port, key, scripts, grpc_port, pause), witnesses)
        asking = Asking(port, key)
        try:
            await tenant._fill(asking)
        finally:
            asking.close()
        return tenant

    async def _fill(self, asking: Asking) -> None:
        for number in range(_KEYED):
            mark = f"key {number} of {self.name}"
            headers = {"Idempotency-Key": mark}
            created = await asking.ask("POST", "/v1/sessions", {"model": MODEL}, headers)
            self.keyed[mark] = session = str(created.json["id"])
            await asking.ask("POST", f"/v1/sessions/{session}/steps", _WORDS, headers)
        for number in range(_KEYED):
            sequence = f"sequence {number} of {self.name}"
            begun = await asking.ask("POST", f"/v2/models/{MODEL}/infer", infer(sequence, sequence_start=True))
            self.sequences.append(Begun(sequence, str(begun.json["parameters"]["session_id"])))
            ended = str((await asking.ask("POST", "/v1/sessions", {"model": MODEL})).json["id"])
            await asking.ask("DELETE", f"/v1/sessions/{ended}")
            self.ended.append(ended)
            self.cursors.append((await asking.ask("GET", f"/v1/sessions?limit={1 + number}")).json["next_cursor"])
        for witness in self.witnesses.sessions:
            self.files.append((await asking.ask("GET", f"/v1/sessions/{witness.session}/state")).body)

    async def complaints(self) -> list[str]:
        """Return what is not as it was, and which sessions are more or fewer than the tenant's own."""
        found = [f"{self.name}: {line}" for line in await self.witnesses.complaints()]
        asking = Asking(self.port, self.key)
        try:
            for name in (MODEL, RESTRICTED):
                predicted = await asking.ask("POST", f"/v1/models/{name}/predict", _WORDS)
                if predicted.status != 200:
                    found.append(f"{self.name}: {name} answers {predicted.label}")
            for session in (*self.keyed.values(), *(sequence.session for sequence in self.sequences)):
                read = await asking.ask("GET", f"/v1/sessions/{session}")
                if read.json.get("step") != 1:
                    found.append(f"{self.name}: {session} is answered {read.label} at step {read.json.get('step')}")
            listed = await _listed(asking)
        finally:
            asking.close()
        found += [f"{self.name}: {session} is not its own" for session in listed - self.all_sessions]
        return found + [f"{self.name}: {session} is not listed" for session in set(self.still) - listed]


async def _listed(asking: Asking) -> set[str]:
    """Return all sessions that a client lists."""
    found, cursor = set[str](), ""
    while True:
        page: Response = await asking.ask("GET", f"/v1/sessions?limit=100{cursor}")
        found |= {session["id"] for session in page.json["data"]}
        if not page.json["next_cursor"]:
            return found
        cursor = f"&cursor={page.json['next_cursor']}"


@contextlib.asynccontextmanager
async def working(tenants: Sequence[Tenant]) -> AsyncIterator[None]:
    """Let the tenants step their sessions meanwhile, and end what they have begun. Raises what ends one."""
    tasks = [asyncio.create_task(tenant.victim.run()) for tenant in tenants]
    try:
        yield
        for tenant in tenants:
            tenant.victim.stopping.set()
        await asyncio.wait(tasks, timeout=_LAST_SESSIONS_SECONDS)
    finally:
        await end_tasks(tasks)


def infer(sequence: str, **parameters: object) -> dict[str, object]:
    """A request of the Open Inference Protocol in a sequence."""
    row = {"name": "TEXT", "datatype": "BYTES", "shape": [1, 1], "data": ["the"]}
    wanted = [{"name": "TOP_TOKENS"}]
    return {"inputs": [row], "outputs": wanted, "parameters": {"sequence_id": sequence, "top_k": 1, **parameters}}
