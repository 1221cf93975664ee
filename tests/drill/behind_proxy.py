"""Two replicas over a store of their own behind the committed proxy: the part of the stack that clients talk to."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.deployments import Server as Store
from tests.deployments import free_port
from tests.drill.programs import Program
from tests.drill.stack import GRPC, REPLICAS, start_haproxy
from tests.server import Server


@dataclass(frozen=True)
class BehindProxy:
    """The running processes; `url` and `grpc_address` are those of the proxy."""

    store: Store
    replicas: list[Server]
    haproxy: Program
    url: str
    grpc_address: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def grpc_port(self) -> int:
        return int(self.grpc_address.rpartition(":")[2])


@contextlib.contextmanager
def running_behind_proxy(folder: Path, models: Path, **settings: object) -> Iterator[BehindProxy]:
    """Start the store, the replicas with gRPC, and the proxy. The replicas believe its X-Forwarded-For."""
    with contextlib.ExitStack() as stack:
        store = Store(folder / "store")
        stack.callback(store.kill)
        store.start()
        replicas, addresses = list[Server](), dict[str, str]()
        for name, grpc_name in zip(REPLICAS, GRPC, strict=True):
            own, grpc_port = folder / name.partition(":")[0], free_port()
            own.mkdir()
            server = Server(
                own,
                models=models,
                redis_url=f"redis://127.0.0.1:{store.port}/0",
                grpc_port=grpc_port,
                **{"trusted_proxies": "127.0.0.0/8", **settings},  # type: ignore[arg-type] # settings by name
            )
            replicas.append(stack.enter_context(server))
            addresses |= {name: server.url.removeprefix("http://"), grpc_name: f"127.0.0.1:{grpc_port}"}
        service, grpc = free_port(), free_port()
        haproxy = start_haproxy(stack, folder, addresses, service, free_port(), grpc)
        yield BehindProxy(store, replicas, haproxy, f"http://127.0.0.1:{service}", f"127.0.0.1:{grpc}")
