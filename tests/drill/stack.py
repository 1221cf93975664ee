"""What docker-compose.yml starts, as processes of this machine: store, replicas, proxy, Prometheus, Alertmanager."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.deployments import Server as Store
from tests.deployments import free_port
from tests.drill.configuration import DEPLOY, write_haproxy, write_prometheus
from tests.drill.programs import Program, find
from tests.server import ROOT, Server, eventually

READY_SECONDS = 60.0
REPLICAS = ("service-1:8000", "service-2:8000")
GRPC = ("service-1:8001", "service-2:8001")
#: Workers of each. Two of the first can die while a third answers Prometheus.
WORKERS = (3, 1)
#: Keys of the drill's tenants: one is limited, to one request in a second.
KEYS = {"clients": "key-of-the-clients", "greedy": "key-of-the-greedy"}
STORE_BYTES = 256 * 2**20
MODELS = ("next-word", "taxi-forecast")


@dataclass
class Stack:
    """The running processes, by their parts in docker-compose.yml."""

    folder: Path
    store: Store
    replicas: list[Server]
    haproxy: Program
    url: str
    prometheus: "Prometheus"
    alertmanager: str
    addresses: dict[str, str]

    def scrape_over_tls(self, *replicas: str) -> None:
        """Have Prometheus scrape these replicas, and no others, over TLS."""
        write_prometheus(self.folder / "prometheus", self.addresses, replicas)
        self.prometheus.program.reload()

    def firing(self) -> dict[str, dict[str, Any]]:
        """Return the alerts that Alertmanager has, by name, whether it would notify of them or not."""
        answer = httpx.get(f"{self.alertmanager}/api/v2/alerts", timeout=5)
        return {alert["labels"]["alertname"]: alert for alert in answer.raise_for_status().json()}


class Prometheus:
    """Prometheus, asked over its API."""

    def __init__(self, url: str, program: Program) -> None:
        self.program = program
        self._http = httpx.Client(base_url=url, timeout=20)

    def get(self, path: str, **parameters: str | float) -> Any:
        answer = self._http.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def query(self, query: str) -> list[dict[str, Any]]:
        """Return the series of a query now."""
        return list(self.get("/api/v1/query", query=query)["result"])

    def range(self, query: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Return the series of a query over time."""
        return list(self.get("/api/v1/query_range", query=query, start=start, end=end, step=step)["result"])

    def targets(self) -> dict[str, str]:
        """Return the health of all targets, by instance."""
        active = self.get("/api/v1/targets")["activeTargets"]
        return {target["labels"]["instance"]: target["health"] for target in active}

    def ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self._http.get("/-/ready").status_code == 200
        return False


def model_folders(folder: Path) -> Path:
    """Copy the bundled models that the drill serves: each replica has a folder of its own."""
    for name in MODELS:
        shutil.copytree(ROOT / "models" / name, folder / name)
    return folder


@contextlib.contextmanager
def running_stack(folder: Path) -> Iterator[Stack]:
    """Start everything, wait until all targets are up, and stop it at the end."""
    with contextlib.ExitStack() as stack:
        store = Store(folder / "store", ["--maxmemory", str(STORE_BYTES), "--maxmemory-policy", "noeviction"])
        stack.callback(store.kill)
        store.start()
        replicas = [
            start_replica(stack, folder / name.partition(":")[0], store, workers)
            for name, workers in zip(REPLICAS, WORKERS, strict=True)
        ]
        addresses = {name: server.url.removeprefix("http://") for name, server in zip(REPLICAS, replicas, strict=True)}
        service, metrics = free_port(), free_port()
        haproxy = start_haproxy(stack, folder, addresses, service, metrics)
        addresses["haproxy:8404"] = f"127.0.0.1:{metrics}"
        addresses["alertmanager:9093"] = f"127.0.0.1:{free_port()}"
        start_alertmanager(stack, folder, addresses["alertmanager:9093"])
        prometheus = start_prometheus(stack, folder, addresses)
        eventually(lambda: set(prometheus.targets().values()) == {"up"}, READY_SECONDS)
        assert {*REPLICAS, "haproxy:8404", "alertmanager:9093"} == prometheus.targets().keys()
        url, alertmanager = f"http://127.0.0.1:{service}", f"http://{addresses['alertmanager:9093']}"
        yield Stack(folder, store, replicas, haproxy, url, prometheus, alertmanager, addresses)


def start_replica(stack: contextlib.ExitStack, folder: Path, store: Store, workers: int) -> Server:
    """Start a replica as docker-compose.yml does, but with limits that can be reached."""
    folder.mkdir()
    return stack.enter_context(
        Server(
            folder,
            models=model_folders(folder / "models"),
            workers=workers,
            redis_url=f"redis://127.0.0.1:{store.port}/0",
            access_log="errors",
            api_keys=",".join(f"{tenant}:{key}" for tenant, key in KEYS.items()),
            tenant_limits="greedy:requests_per_second=1",
            public_operations="true",
            max_connections_per_address=4096,
            max_batch=8,
            models_poll_seconds=1,
            model_grace_seconds=1,
        )
    )


def start_haproxy(
    stack: contextlib.ExitStack,
    folder: Path,
    addresses: dict[str, str],
    service: int,
    metrics: int,
    grpc: int | None = None,
) -> Program:
    """Start the proxy in front of the replicas; returns when it sends requests on."""
    config = write_haproxy(folder, addresses, service, metrics, free_port() if grpc is None else grpc)
    haproxy = Program([find("haproxy") or "haproxy", "-db", "-f", config], folder / "haproxy.log")
    stack.callback(haproxy.stop)
    haproxy.start()
    eventually(lambda: answers(f"http://127.0.0.1:{service}/health/ready"), READY_SECONDS)
    return haproxy


def start_alertmanager(stack: contextlib.ExitStack, folder: Path, address: str) -> None:
    command = [
        find("prometheus-alertmanager") or "prometheus-alertmanager",
        f"--config.file={DEPLOY / 'alertmanager' / 'alertmanager.yml'}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    alertmanager = Program(command, folder / "alertmanager.log")
    stack.callback(alertmanager.stop)
    alertmanager.start()
    eventually(lambda: answers(f"http://{address}/-/ready"), READY_SECONDS)


def start_prometheus(stack: contextlib.ExitStack, folder: Path, addresses: dict[str, str]) -> Prometheus:
    address = f"127.0.0.1:{free_port()}"
    command = [
        find("prometheus") or "prometheus",
        f"--config.file={write_prometheus(folder / 'prometheus', addresses)}",
        f"--storage.tsdb.path={folder / 'prometheus' / 'data'}",
        f"--web.listen-address={address}",
        # An alert that has ended is told to Alertmanager at once.
        "--rules.alert.resend-delay=1s",
    ]
    program = Program(command, folder / "prometheus.log")
    stack.callback(program.stop)
    program.start()
    prometheus = Prometheus(f"http://{address}", program)
    eventually(prometheus.ready, READY_SECONDS)
    return prometheus


def answers(url: str) -> bool:
    """Whether something answers 200 there."""
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url, timeout=5).status_code == 200
    return False
