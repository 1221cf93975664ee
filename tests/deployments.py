"""Real servers in every shape that the store may have: processes of the tests' own, ended by their id."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from service.store.embedded.binary import find_server
from tests.certificates import Certificates

SECONDS = 30.0
_CONFIGURATION = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text("utf-8")
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
        user = f":{quote(self.password, safe='')}@" if self.password else ""
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

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections and answers nothing; afterwards it goes on as if nothing had been."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

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


def is_master(server: Server) -> bool:
    """Whether it says so itself; one that is lost does not."""
    return _role(server) == "master"


def is_replica(server: Server) -> bool:
    """Whether it says so itself; one that is lost does not."""
    return _role(server) == "slave"


def has_replicas(master: Server, count: int) -> bool:
    """Whether so many replicas follow it and have confirmed something: they are listed before that."""
    replicas = master.ask("ROLE")[2]
    return len(replicas) == count and all(int(offset) > 0 for _, _, offset in replicas)


def master_of(servers: Sequence[Server]) -> Server:
    """The first of them that is a master, as soon as there is one."""
    found: list[Server] = []
    eventually(lambda: found.extend(server for server in servers if is_master(server)) or found)
    return found[0]


def _role(server: Server) -> str:
    with contextlib.suppress(RedisError):  # who becomes a replica throws all clients out
        return str(server.ask("ROLE")[0])
    return "unknown"


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


def documented_user(server: Server, password: str) -> str:
    """The URL of a user who may do what docs/configuration.md says that a user needs, and no more."""
    named = re.search(
        r"`~<prefix>:\*` and the commands `(.*?)`.*? also `(.*?)`\s*and `(.*?)`", _CONFIGURATION, re.DOTALL
    )
    assert named is not None
    commands = " ".join(named.groups()).split()
    server.ask("ACL", "SETUSER", "unroll", "on", f">{password}", "~unroll:*", *(f"+{name}" for name in commands))
    return f"redis://unroll:{quote(password, safe='')}@127.0.0.1:{server.port}"


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
        eventually(lambda: has_replicas(master, replicas))
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
