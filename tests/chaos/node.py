"""One server of the suite's own store, with an append-only file: killed, and robbed of what a power cut may take."""

import asyncio
import contextlib
import signal
import subprocess
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from service.store.embedded.binary import find_server
from tests.served import free_port

#: What "about a second" of appendfsync everysec may lose.
EVERYSEC = 1.0
_START_SECONDS = 60.0
_SETTINGS = {
    "bind": "127.0.0.1",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",
    "repl-diskless-sync-delay": "0",
    "daemonize": "no",
}


@dataclass(slots=True, eq=False)
class Node:
    """One server with its data; knows up to where its file must have reached the disk."""

    folder: Path
    port: int = field(default_factory=free_port)
    _process: "subprocess.Popen[bytes] | None" = None
    _durable: tuple[Path, int] | None = None
    _sizes: "deque[tuple[float, Path, int]]" = field(default_factory=lambda: deque(maxlen=20))

    @property
    def socket(self) -> Path:
        return self.folder / "store.sock"

    async def start(self, master: "Node | None" = None) -> None:
        """Start it on what it left behind, as a master or as a replica; returns when it answers."""
        self.folder.mkdir(exist_ok=True)
        settings = _SETTINGS | {"dir": str(self.folder), "unixsocket": str(self.socket), "port": str(self.port)}
        if master is not None:
            settings["replicaof"] = f"127.0.0.1 {master.port}"
        words = [word for name, value in settings.items() for word in (f"--{name}", *value.split(" ", 1))]
        words = [word if word else '""' for word in words]
        self._launch([str(find_server()), *words])
        deadline = time.monotonic() + _START_SECONDS
        while not await self.answers():
            assert time.monotonic() < deadline, f"the store does not start: see {self.folder}/store.log"
            await asyncio.sleep(0.02)

    def _launch(self, command: list[str]) -> None:
        with (self.folder / "store.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)

    async def command(self, *words: object) -> Any:
        """Ask it directly, past the proxy."""
        client = Redis(unix_socket_path=str(self.socket), socket_timeout=10, protocol=2)
        try:
            return await client.execute_command(*words)
        finally:
            await client.aclose()

    async def answers(self) -> bool:
        with contextlib.suppress(RedisError, OSError):
            return bool(await self.command("PING"))
        return False

    async def refusals(self) -> int:
        """How many commands it refused so far because it was full."""
        found = await self.command("INFO", "errorstats")
        return int(found.get("errorstat_OOM", {}).get("count", 0))

    def kill(self) -> None:
        """SIGKILL; what the kernel has of the file, stays."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def sample(self) -> None:
        """Remember how long the file is now."""
        if self._process is not None and (file := self._file()) is not None:
            self._sizes.append((time.monotonic(), file, file.stat().st_size))

    def on_disk(self) -> None:
        """Remember that all of the file up to here is promised to be durable."""
        if (file := self._file()) is not None:
            self._durable = (file, file.stat().st_size)

    def lose_power(self, pick: float) -> tuple[float, int]:
        """Kill it, and cut off what a second's loss of power may, which is nothing that was promised to be on disk.

        Returns since when what was written may be lost, and how many bytes were.
        """
        self.kill()
        killed, file = time.monotonic(), self._file()
        if file is None:
            return killed, 0
        size = file.stat().st_size
        old = [(at, length) for at, path, length in self._sizes if path == file and at <= killed - EVERYSEC]
        since, written = old[-1] if old else (killed, size)
        promised = self._durable[1] if self._durable is not None and self._durable[0] == file else size
        keep = max(promised, written)
        keep += int(pick * max(0, size - keep))
        with file.open("r+b") as opened:
            opened.truncate(keep)
        return since, size - keep

    def _file(self) -> Path | None:
        """The part of the append-only file that is written now."""
        parts = (self.folder / "appendonlydir").glob("*.incr.aof")
        return max(parts, key=lambda path: int(path.name.split(".")[-3]), default=None)
