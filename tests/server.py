"""The real service as a test sees it: started as a process, spoken to over HTTP, killed and started again."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from tests.folders import write_language_model

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 120.0
STOP_SECONDS = 40.0
#: For clients of several threads, or whose requests should reach different workers. httpx closes connections over its
#: limit, or past their time, that another thread has just been assigned (httpcore 1.0): that thread then reads from a
#: closed file descriptor. So each request has its own connection, or connections are kept without any limit.
NEW_CONNECTIONS = {"Connection": "close"}
KEPT_CONNECTIONS = httpx.Limits(max_keepalive_connections=None, keepalive_expiry=None)
ENVELOPE = {"code", "type", "message", "param", "applied", "step"}

T = TypeVar("T")
Body = dict[str, Any]


def eventually(look: Callable[[], T], seconds: float = 15.0) -> T:
    """Poll until `look` gives something true, and return that."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        pause.wait(0.02)
    return found


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for the name of a socket."""
    folder = Path(tempfile.mkdtemp(prefix="unroll-test-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def tiny_models(root: Path) -> Path:
    """Write one small model into the folder."""
    write_language_model(root, "tiny", hidden_size=32, seed=3)
    return root


class Server:
    """`unroll serve` on a free port. Settings are those of service/settings.py by name: `max_body_bytes=2048`.

    Entering the block starts the service and waits until it is ready, or without `await_ready` until it is alive.
    Leaving it stops the service; whatever of it is still alive then is killed, by its id.
    """

    def __init__(
        self,
        folder: Path,
        *,
        models: Path,
        workers: int = 1,
        redis_url: str | None = None,
        await_ready: bool = True,
        program: Sequence[str] = ("-m", "service.cli", "serve"),
        **settings: object,
    ) -> None:
        self.state_dir = folder / "state"
        self.workers = workers
        self.url = ""
        self._await_ready = await_ready
        self._program = program
        self._log_path = folder / "server.log"
        self._seen: set[int] = set()
        own = {name: value for name, value in os.environ.items() if not name.startswith(("UNROLL_", "REDIS_"))}
        # Nobody watches readiness here, unless a test says so.
        usual = {"state_dir": self.state_dir, "log_format": "json", "access_log": "all", "drain_seconds": 0}
        wanted = usual | {"models": models, "workers": workers} | settings
        self._environment = own | {f"UNROLL_{name.upper()}": str(value) for name, value in wanted.items()}
        self._environment["OMP_NUM_THREADS"] = "1"
        if redis_url is not None:
            self._environment["REDIS_URL"] = redis_url
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start(ready=self._await_ready)
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if self._process is not None:
                self.terminate()
        finally:
            self._clean_up()

    @property
    def running(self) -> bool:
        """Whether the supervisor lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the service is not running"
        return self._process.pid

    @property
    def grpc_address(self) -> str:
        """The address for gRPC of a service that was started with `grpc_port`."""
        return re.findall(r'"event": "gRPC port".*"address": "([^"]+)"', self.log)[-1]

    @property
    def log(self) -> str:
        return self._log_path.read_text("utf-8") if self._log_path.exists() else ""

    def start(self, *, ready: bool = True) -> None:
        """Start the service, again on the port it had; returns when it is ready, or at least alive."""
        before, port = len(self.log), self.url.rpartition(":")[2] or "0"
        command = [sys.executable, *self._program]
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=self._environment | {"UNROLL_PORT": port}, stdout=log, stderr=log
            )
        self.url = eventually(lambda: self._announced(before), START_SECONDS)
        eventually(self.is_ready if ready else self.is_alive, START_SECONDS)

    def _announced(self, since: int) -> str | None:
        assert self._process is not None
        assert self._process.poll() is None, self.log[since:]
        for line in self.log[since:].splitlines():
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if event.get("event") == "starting":
                    return str(event["url"])
        return None

    def restart(self) -> None:
        """Start again what was killed or terminated."""
        self.start()

    def ensure_ready(self) -> Self:
        """Start the service again if it does not run, and wait until it is ready."""
        if not self.running:
            self.restart()
        eventually(self.is_ready, 120)
        return self

    def kill9(self) -> None:
        """Kill the supervisor so that it cannot clean up."""
        assert self._process is not None
        self.processes()
        self._process.kill()
        self._process.wait()
        self._process = None

    def terminate(self, seconds: float = STOP_SECONDS) -> int:
        """Stop by SIGTERM; returns the exit status."""
        assert self._process is not None
        self.processes()
        process, self._process = self._process, None
        process.terminate()
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def processes(self) -> set[int]:
        """The live supervisor, workers and private store that were ever seen of this service."""
        if self._process is not None:
            self._seen |= {self.pid, *children(self.pid)}
        return {pid for pid in self._seen if is_running(pid)}

    def worker_pids(self) -> list[int]:
        self.processes()
        return [pid for pid in children(self.pid) if b"service.process.worker" in command_line(pid)]

    def store_pids(self) -> set[int]:
        """The processes of the private store, if there is one."""
        return self.processes() - {*self.worker_pids(), self.pid}

    def is_ready(self) -> bool:
        """Whether as many workers as wanted are up, and one of them says that it is ready."""
        with contextlib.suppress(httpx.TransportError):
            return self.workers_up() and httpx.get(f"{self.url}/health/ready", timeout=5).status_code == 200
        return False

    def is_alive(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self.workers_up() and httpx.get(f"{self.url}/health/live", timeout=5).status_code == 200
        return False

    def workers_up(self) -> bool:
        """Whether as many workers as wanted have come up and live."""
        ready = {int(pid) for pid in re.findall(r'"event": "worker ready".*"process": (\d+)', self.log)}
        return len(ready.intersection(self.worker_pids())) == self.workers

    def client(self, key: str | None = None) -> httpx.Client:
        """A client of this service; the caller closes it."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, limits=KEPT_CONNECTIONS)

    def _clean_up(self) -> None:
        for pid in {*self.processes(), *living_in(self.state_dir)}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._process = None


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def is_running(pid: int) -> bool:
    """Whether the process lives; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def living_in(folder: Path) -> set[int]:
    """The processes that work in this folder or below: the private store of a state directory."""
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and (entry / "cwd").readlink().is_relative_to(folder):
                found.add(int(entry.name))
    return {pid for pid in found if is_running(pid)}


def send(
    http: httpx.Client, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
) -> httpx.Response:
    """Send a JSON body; one of bytes as it is. Lone surrogates, NaN and the like are sent as they are."""
    content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    given = {} if content is None else {"Content-Type": "application/json"}
    return http.request(method, path, content=content, headers=given | (headers or {}))


def post(
    http: httpx.Client, path: str, body: object = None, *, key: str | None = None, **headers: str
) -> httpx.Response:
    """POST a JSON body, perhaps with an Idempotency-Key."""
    return send(http, "POST", path, body, headers | ({} if key is None else {"Idempotency-Key": key}))


def answered(response: httpx.Response, status: int = 200) -> Body:
    """The body of a response that succeeded."""
    assert response.status_code == status, response.text
    body: Body = response.json()
    return body


def new_session(http: httpx.Client, model: str = "tiny", **fields: object) -> str:
    """Open a session and return its id."""
    return str(answered(post(http, "/v1/sessions", {"model": model, **fields}), 201)["id"])


def look_up(http: httpx.Client, session: str) -> Body:
    return answered(http.get(f"/v1/sessions/{session}"))


def step(http: httpx.Client, session: str, text: str, *, key: str | None = None, **fields: object) -> httpx.Response:
    """Feed words to a session."""
    return post(http, f"/v1/sessions/{session}/steps", {"input": {"text": text}, **fields}, key=key)


def refusal(response: httpx.Response, status: int, code: str, *mentions: str) -> Body:
    """The error of a response that was refused as it should be; its message holds all of `mentions`."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("application/json")
    assert response.headers["x-request-id"]
    body = response.json()
    assert set(body) == {"error"}
    return envelope(body["error"], status, code, *mentions)


def envelope(error: Body, status: int, code: str, *mentions: str) -> Body:
    """The error inside an envelope, checked."""
    assert set(error) == ENVELOPE
    assert error["code"] == code, error
    assert error["type"]
    assert error["applied"] in {None, "no", "yes", "unknown"}
    for mention in mentions:
        assert mention in error["message"], error["message"]
    if status in {429, 503}:
        assert error["type"] == "server_error" or status == 429
    return error


def probabilities(output: Body) -> dict[int, float]:
    """Predictions by id."""
    return {prediction["id"]: prediction["probability"] for prediction in output["predictions"]}


def assert_same_predictions(found: Body, expected: Body, tolerance: float = 1e-5) -> None:
    """Both list the same candidates with the same probabilities, and observed the same."""
    own, other = probabilities(found), probabilities(expected)
    for index in own.keys() & other.keys():
        assert abs(own[index] - other[index]) <= tolerance, (index, own[index], other[index])
    # Only candidates as probable as the last one listed may be listed by one side alone.
    for mine, theirs in ((own, other), (other, own)):
        for index in mine.keys() - theirs.keys():
            assert mine[index] <= min(theirs.values()) + tolerance, index
