"""Two replicas behind the proxy of docker-compose.yml, which clients and faults take for one service."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.control import Control
from tests.chaos.service import Service
from tests.drill.stack import GRPC, REPLICAS, start_haproxy
from tests.served import free_port

#: The proxy moves clients away from a worker that drains within three seconds.
_SETTINGS = {
    "UNROLL_DRAIN_SECONDS": "4",
    "UNROLL_GRACE_SECONDS": "7",
    "UNROLL_TRUSTED_PROXIES": "127.0.0.0/8",
}


@dataclass(slots=True, eq=False)
class Replicas:
    """As Service; the workers are divided among the replicas, and each has one at least."""

    folder: Path
    models: Path
    store: Path
    workers: int = 2
    broken: str = ""
    api_keys: str = ""
    port: int = field(default_factory=free_port)
    grpc_port: int = field(default_factory=free_port)
    control: Control = field(init=False)
    _members: list[Service] = field(init=False)
    _running: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __post_init__(self) -> None:
        self.control = Control(self.folder / "control")
        workers = max(1, self.workers // len(REPLICAS))
        self._members = [
            Service(
                self.folder / name.partition(":")[0],
                self.models,
                self.store,
                workers,
                self.broken,
                self.api_keys,
                control_folder=self.control.folder,
                settings=_SETTINGS,
            )
            for name in REPLICAS
        ]

    async def start(self) -> None:
        """Start both and then the proxy; returns when it sends requests on."""
        for member in self._members:
            member.folder.mkdir()
        await asyncio.gather(*(member.start() for member in self._members))
        addresses = dict[str, str]()
        for name, grpc, member in zip(REPLICAS, GRPC, self._members, strict=True):
            addresses |= {name: f"127.0.0.1:{member.port}", grpc: f"127.0.0.1:{member.grpc_port}"}
        ports = self.port, free_port(), self.grpc_port
        await asyncio.to_thread(start_haproxy, self._running, self.folder, addresses, *ports)

    async def ready(self, seconds: float) -> bool:
        """Wait until every worker that there should be answers; False when that takes too long."""
        return all(await asyncio.gather(*(member.ready(seconds) for member in self._members)))

    def pids(self) -> list[int]:
        """The workers that live, in the order of their start."""
        return sorted(pid for member in self._members for pid in member.pids())

    def stop(self) -> None:
        """Stop the proxy and both replicas."""
        self._running.close()
        for member in self._members:
            member.stop()

    def read_log(self) -> str:
        """What all processes have logged, one replica after the other."""
        return "".join(member.read_log() for member in self._members)

    def complaints(self) -> list[str]:
        """What the logs have at the level of errors, but for workers that died."""
        return [line for member in self._members for line in member.complaints()]
