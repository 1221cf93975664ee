"""Smoke test of an image: what it holds, and that it serves, keeps sessions and stops as it should."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx

from service import __version__
from tests.deployments import Server as Store
from tests.image.engines import Engine, Service
from tests.served import free_port
from tests.server import answered, eventually, new_session, step

#: What the image may add to its base. Together they have to stay below 1.2 GB.
MAX_ADDED_BYTES = 1_050_000_000
START_SECONDS, STOP_SECONDS = 120.0, 40.0
MODEL = "next-word"
#: Run in the image: who it runs as, what it may write to, and which compilers it has.
LOOK = """
import json, os, shutil
def writable(folder):
    try:
        open(os.path.join(folder, "probe"), "w").close()
    except OSError:
        return False
    return True
folders = ["/", "/opt/unroll", "/models", "/usr", "/tmp", "/data"]
compilers = filter(shutil.which, ["cc", "c++", "gcc", "g++", "clang", "make", "ld"])
def size(path):
    return sum(os.lstat(os.path.join(at, name)).st_blocks * 512 for at, _, names in os.walk(path) for name in names)
bom = json.load(open("/opt/unroll/sbom.cdx.json"))
print(json.dumps({"bytes": size("/opt/unroll") + size("/models"), "user": os.getuid(),
                  "writable": [f for f in folders if writable(f)], "compilers": list(compilers),
                  "parts": {part["name"]: part["version"] for part in bom["components"]}}))
"""


def smoke_test(engine: Engine) -> None:
    """Raises AssertionError at the first thing that is not as it should be."""
    check_contents(engine)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = Store(folder / "store").start()
        try:
            url = f"redis://127.0.0.1:{store.port}/0"
            with running(engine, folder / "first.log", url) as http:
                session = check_service(http)
            with running(engine, folder / "second.log", url) as http:
                assert answered(step(http, session, "to", step=1))["step"] == 2
                tell("another replica continues the session")
        finally:
            store.kill()


def check_contents(engine: Engine) -> None:
    """Check the files, the labels and the rights."""
    assert engine.labels["org.opencontainers.image.version"] == __version__
    assert engine.labels["org.opencontainers.image.revision"] != "unknown"
    found = json.loads(engine.output(["python", "-c", LOOK]))
    assert found["bytes"] < MAX_ADDED_BYTES, f"{found['bytes']} bytes: expected less than {MAX_ADDED_BYTES}"
    tell(f"it adds {found['bytes'] / 1e6:.0f} MB to its base")
    assert found["user"] != 0
    assert found["writable"] == ["/tmp", "/data"]  # noqa: S108 - paths in the image
    assert found["compilers"] == []
    assert found["parts"].keys() >= {"torch", "fastapi", "uvicorn", "grpcio", "onnxruntime", "opentelemetry-sdk"}
    tell(f"its root is read only, it has no compiler, and its list of parts has {len(found['parts'])}")


def check_service(http: httpx.Client) -> str:
    """Predict and begin a session; return the session."""
    body = {"inputs": [{"text": "I would like"}], "options": {"top_k": 3}}
    assert len(answered(http.post(f"/v1/models/{MODEL}/predict", json=body))["outputs"][0]["predictions"]) == 3
    session = new_session(http, MODEL)
    assert answered(step(http, session, "I would like", step=0))["step"] == 1
    tell("it predicts, and steps a session")
    return session


@contextlib.contextmanager
def running(engine: Engine, log: Path, store: str) -> Iterator[httpx.Client]:
    """The service of the image on a free port; it must stop at SIGTERM, with the status 0."""
    port = free_port()
    settings = {"UNROLL_HOST": "127.0.0.1", "UNROLL_PORT": str(port), "REDIS_URL": store}
    service = engine.start(settings, log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            eventually(lambda: is_ready(http), START_SECONDS)
            yield http
    except BaseException:
        print(service.log)
        raise
    finally:
        stop(service)


def is_ready(http: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return http.get("/health/ready").status_code == 200
    return False


def stop(service: Service) -> None:
    status = service.stop(STOP_SECONDS)
    assert status == 0, f"it ended with the status {status}:\n{service.log}"
    assert "worker stopped" in service.log, service.log
    tell("it drains and ends with the status 0")


def tell(what: str) -> None:
    print(f"image: {what}", flush=True)
