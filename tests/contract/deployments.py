"""Real servers in every shape that the store may have: processes of the tests' own, ended by their id."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from certificates import Certificates
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from service.store.binary import find_server

SECONDS = 30.0
_TRIES = 5
_QUICK = ["--save", "", "--appendonly", "yes", "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"]


@dataclass(frozen=True)
class Guard:
    """What a server asks of those who come: a password, TLS by `certificates`, which its `program` must know."""

    password: str = ""
    certificates: Certificates | None = None
    program: Path | None = None

    def of_server(self) -> dict[str, str]:
        secret = {"requirepass": self.password, "masterauth": self.password} if self.password else {}
        return secret | (self.certificates.of_server if self.certificates else {})

    def of_client(self) -> dict[str, Any]:
        tls = {"ssl": True, **self.certificates.of_client} if self.certificates else {}
        return ({"password": self.password} if self.password else {}) | tls

    def url(self, form: str, servers: Sequence["Server"], path: str = "", **query: str) -> str:
        """REDIS_URL of that form: "", "+sentinel" or "+cluster"."""
        scheme = "rediss" if self.certificates else "redis"
        user = f":{self.password}@" if self.password else ""
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        options = urlencode(query | (self.certificates.of_client if self.certificates else {}))
        return f"{scheme}{form}://{user}{hosts}{path}?{options}".removesuffix("?")


OPEN = Guard()


class Server:
    """One process on a port of its own, which it keeps over restarts."""

    def __init__(self, folder: Path, options: Sequence[str] = (), guard: Guard = OPEN) -> None:
        self.folder = folder
        self.port = 0
        self.guard = guard
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Server":
        """Return when it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for _ in range(_TRIES):
            self.port = self.port or free_port()
            self._launch()
            with contextlib.suppress(EOFError):
                eventually(self._answers)
                return self
            self.port = 0  # somebody took it meanwhile
        raise AssertionError((self.folder / "log").read_text()[-2000:])

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it without a word, as a machine does that loses its power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self, **options: Any) -> Redis:
        options = {"socket_timeout": 5, "protocol": 2, "retry": Retry(NoBackoff(), 0), **options}
        return Redis(host="127.0.0.1", port=self.port, decode_responses=True, **self.guard.of_client(), **options)

    def ask(self, *words: str | int) -> Any:
        with self.client() as client:
            return client.execute_command(*words)

    def _launch(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self.guard.program or find_server()), *self._arguments()],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _arguments(self) -> list[str]:
        guard = [word for name, value in self.guard.of_server().items() for word in (f"--{name}", value)]
        return [*self._ports(), "--bind", "127.0.0.1", *_QUICK, *guard, *self._options]

    def _ports(self) -> list[str]:
        return ["--port", "0", "--tls-port", str(self.port)] if self.guard.certificates else ["--port", str(self.port)]

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise EOFError
        with contextlib.suppress(RedisError, OSError), self.client() as asker:
            return bool(asker.ping())
        return False


class SentinelServer(Server):
    """A sentinel, which keeps what it knows in its own configuration file."""

    def __init__(self, folder: Path, master: Server, guard: Guard = OPEN) -> None:
        super().__init__(folder, guard=guard)
        self._master = master

    def _arguments(self) -> list[str]:
        config = self.folder / "sentinel.conf"
        lines = [
            f"sentinel monitor main 127.0.0.1 {self._master.port} 2",
            "sentinel down-after-milliseconds main 1000",
            "sentinel failover-timeout main 5000",
        ]
        if self._master.guard.password:
            lines.append(f"sentinel auth-pass main {self._master.guard.password}")
        if self.guard.password:
            lines += [f"requirepass {self.guard.password}", f"sentinel sentinel-pass {self.guard.password}"]
        if self.guard.certificates:
            lines += [f"{name} {value}" for name, value in self.guard.certificates.of_server.items()]
        ports = " ".join(self._ports()).replace(" --", "\n").removeprefix("--")
        if not config.exists():
            config.write_text("\n".join([ports, "bind 127.0.0.1", *lines, ""]))
        return [str(config), "--sentinel"]


@dataclass
class Deployment:
    """Servers that belong together, and the REDIS_URL of them all."""

    url: str = ""
    servers: list[Server] = field(default_factory=list)
    sentinels: list[Server] = field(default_factory=list)

    def add(self, server: Server) -> Server:
        self.servers.append(server)
        return server.start()

    def kill(self) -> None:
        for server in [*self.sentinels, *self.servers]:
            server.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def eventually(condition: Callable[[], Any], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@contextlib.contextmanager
def watched_by_sentinels(
    folder: Path, replicas: int = 1, guard: Guard = OPEN, sentinel_guard: Guard | None = None
) -> Iterator[Deployment]:
    """A master with replicas and three sentinels that know each other."""
    deployment = Deployment()
    try:
        master = deployment.add(Server(folder / "master", guard=guard))
        for number in range(replicas):
            replica = deployment.add(Server(folder / f"replica{number}", guard=guard))
            replica.ask("REPLICAOF", "127.0.0.1", master.port)
        eventually(lambda: len(master.ask("ROLE")[2]) == replicas)
        for number in range(3):
            sentinel = SentinelServer(folder / f"sentinel{number}", master, sentinel_guard or guard)
            deployment.sentinels.append(sentinel)
            sentinel.start()
        eventually(lambda: all(_knows_all(sentinel, replicas) for sentinel in deployment.sentinels))
        secret = {"sentinel_password": sentinel_guard.password} if sentinel_guard else {}
        deployment.url = guard.url("+sentinel", deployment.sentinels, "/main", **secret)
        yield deployment
    finally:
        deployment.kill()


def _knows_all(sentinel: Server, replicas: int) -> bool:
    flat = sentinel.ask("SENTINEL", "MASTER", "main")
    state = flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
    return (int(state["num-other-sentinels"]), int(state["num-slaves"])) == (2, replicas)


@contextlib.contextmanager
def clustered(
    folder: Path, masters: int = 3, replicas: int = 0, node_timeout: int = 15_000, guard: Guard = OPEN
) -> Iterator[Deployment]:
    """A cluster of so many masters with so many replicas each; `servers` has the masters first."""
    deployment = Deployment()
    try:
        for number in range(masters * (1 + replicas)):
            options = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(node_timeout)]
            options += ["--cluster-port", str(free_port())]
            options += ["--tls-cluster", "yes"] if guard.certificates else []
            deployment.add(Server(folder / f"node{number}", options, guard))
        form_cluster(deployment.servers, masters)
        for number, replica in enumerate(deployment.servers[masters:]):
            master = deployment.servers[number % masters]
            replica.ask("CLUSTER", "REPLICATE", node_id(master))
        for master in deployment.servers[:masters]:
            eventually(lambda master=master: len(master.ask("ROLE")[2]) == replicas)
        eventually(lambda: all(_sees_replicas(server, masters * replicas) for server in deployment.servers))
        deployment.url = guard.url("+cluster", deployment.servers)
        yield deployment
    finally:
        deployment.kill()


def form_cluster(servers: Sequence[Server], masters: int) -> None:
    """Give the first servers an equal share of the slots and introduce all to each other."""
    bounds = [16384 * number // masters for number in range(masters + 1)]
    for number, server in enumerate(servers):
        server.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number < masters:
            server.ask("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
        for other in servers[:number]:
            bus = other.ask("CONFIG GET", "cluster-port")["cluster-port"]
            server.ask("CLUSTER", "MEET", "127.0.0.1", other.port, bus)
    eventually(lambda: all(_sees(server, len(servers)) for server in servers))


def node_id(server: Server) -> str:
    name: str = server.ask("CLUSTER", "MYID")
    return name


def _sees(server: Server, count: int) -> bool:
    info: dict[str, str] = server.ask("CLUSTER INFO")
    return info["cluster_state"] == "ok" and len(server.ask("CLUSTER NODES")) == count


def _sees_replicas(server: Server, count: int) -> bool:
    return sum("slave" in node["flags"] for node in server.ask("CLUSTER NODES").values()) == count
