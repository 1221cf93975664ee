"""The attacked service: one as a user starts it, or two replicas behind the proxy."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from tests.drill.behind_proxy import BehindProxy, running_behind_proxy
from tests.server import Server


class Service(Protocol):
    """What the suite needs to know of the processes of a service."""

    @property
    def log(self) -> str: ...
    @property
    def state_dir(self) -> Path: ...
    def worker_pids(self) -> list[int]: ...
    def store_pids(self) -> set[int]: ...


@dataclass(frozen=True, slots=True)
class Replicas:
    """The replicas behind the proxy, as one service."""

    running: BehindProxy
    state_dir: Path

    @property
    def log(self) -> str:
        return "".join(replica.log for replica in self.running.replicas)

    def worker_pids(self) -> list[int]:
        return [pid for replica in self.running.replicas for pid in replica.worker_pids()]

    def store_pids(self) -> set[int]:
        return {self.running.store.pid}


@dataclass(frozen=True, slots=True)
class Place:
    """A running service, and the ports where clients find it."""

    service: Service
    port: int
    grpc_port: int


@contextlib.contextmanager
def running_alone(folder: Path, models: Path, workers: int, settings: Mapping[str, object]) -> Iterator[Place]:
    """Start one service with a private store."""
    with Server(folder, models=models, workers=workers, grpc_port=0, **settings) as server:
        yield Place(server, urlsplit(server.url).port or 0, int(server.grpc_address.rpartition(":")[2]))


@contextlib.contextmanager
def running_replicas(folder: Path, models: Path, workers: int, settings: Mapping[str, object]) -> Iterator[Place]:
    """Start two services, their store and the proxy. They have no private store, so no bounds of one."""
    own = Path(tempfile.mkdtemp(dir=folder))
    shared = {name: value for name, value in settings.items() if not name.startswith("store_")}
    with running_behind_proxy(own, models, workers=workers, **shared) as running:
        yield Place(Replicas(running, own), running.port, running.grpc_port)
