"""The measured servers: this service in several dtypes and numbers of workers, and the peers."""

import itertools
import json
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import ours, processes
from benchmarks.generator import Session
from service.store import EmbeddedServer


@dataclass(frozen=True)
class RunningServer:
    """A running server: its port, and the function that creates sessions on it."""

    port: int
    open_sessions: Callable[[int], list[Session]]


@dataclass(frozen=True)
class Server:
    """One row of the table. `start` takes the folder of REF-LM and raises NotStarted if the server does not start."""

    name: str
    title: str
    start: Callable[[Path], AbstractContextManager[RunningServer]]


@contextmanager
def _ours(folder: Path, *, workers: int, dtype: str | None = None) -> Iterator[RunningServer]:
    options = () if dtype is None else ("--dtype", dtype)
    with ours.service(workers, folder.parent.parent, *options) as running:
        yield RunningServer(running.port, partial(ours.open_sessions, running.port))


@contextmanager
def _peer(
    folder: Path, *, module: str, health: str, opener: Callable[[int, int], list[Session]], **environment: str
) -> Iterator[RunningServer]:
    port = processes.free_port()
    with tempfile.TemporaryDirectory() as data:
        store = EmbeddedServer(Path(data))
        store.start()
        try:
            command = [sys.executable, "-m", f"benchmarks.peers.{module}", str(port), str(folder), store.url]
            url = f"http://127.0.0.1:{port}{health}"
            with processes.running(command, lambda _: processes.answers(url), environment):
                yield RunningServer(port, partial(opener, port))
        finally:
            store.stop()


_numbers = itertools.count(1)


def _named(_port: int, count: int) -> list[Session]:
    """Return sessions that begin with their first step."""
    return [Session("/step", f'{{"session": "s{next(_numbers)}", "id": %d}}') for _ in range(count)]


def _sequences(port: int, count: int) -> list[Session]:
    """Return sequences of Triton, begun by a first step."""
    path, sessions = "/v2/models/ref_lm/infer", []
    for _ in range(count):
        number = next(_numbers)
        inputs = '[{"name": "ID", "shape": [1, 1], "datatype": "INT64", "data": [%d]}]'
        begin = {"sequence_id": number, "sequence_start": True}
        body = f'{{"parameters": {json.dumps(begin)}, "inputs": {inputs % 1}}}'
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body.encode())
        with urllib.request.urlopen(request, timeout=30) as response:
            response.read()
        sessions.append(Session(path, f'{{"parameters": {{"sequence_id": {number}}}, "inputs": {inputs}}}'))
    return sessions


#: One OpenMP thread per process, as for our own workers: two threads stall if another process is busy.
_THREADS = {"OMP_NUM_THREADS": "1"}
_FASTAPI = partial(_peer, module="fastapi_redis", health="/health", opener=_named, **_THREADS)
_LITSERVE = partial(_peer, module="litserve_redis", health="/health", opener=_named, **_THREADS)
_TRITON = partial(_peer, module="triton", health="/v2/models/ref_lm/ready", opener=_sequences, **_THREADS)
_EMPTY = partial(_peer, module="empty", health="/", opener=_named, **_THREADS)

SERVERS = [
    Server("ours-1", "Unroll, 1 worker", partial(_ours, workers=1)),
    Server("ours-2", "Unroll, 2 workers", partial(_ours, workers=2)),
    Server("ours-2-bfloat16", "Unroll, 2 workers, bfloat16", partial(_ours, workers=2, dtype="bfloat16")),
    Server("ours-2-int8", "Unroll, 2 workers, int8", partial(_ours, workers=2, dtype="int8")),
    Server("fastapi", "FastAPI + nn.LSTM + Redis", _FASTAPI),
    Server("litserve", "LitServe, batches of 64, Redis", _LITSERVE),
    Server("triton", "NVIDIA Triton, sequence batcher, state in its memory", _TRITON),
    Server("empty", "an empty endpoint: the load generator's bound", _EMPTY),
]
