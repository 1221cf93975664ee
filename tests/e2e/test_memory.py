"""A worker whose memory grows beyond its limit is renewed, and its clients notice nothing."""

import httpx

from service.process.memory_limit import resident_bytes
from tests.e2e.test_drain import stop_at_once, working
from tests.metrics import Metrics
from tests.server import Server, eventually, is_running, short_folder, tiny_models

#: A worker that grows by 500 MB when a file with its pid appears in the state directory.
WORKER = """
import os, sys, threading, time
from pathlib import Path
from service.process.worker import main

def leak():
    file = Path(os.environ["UNROLL_STATE_DIR"], "leak")
    while not (file.exists() and file.read_text() == str(os.getpid())):
        time.sleep(0.1)
    for _ in range(500):
        kept.append(b"x" * 1_000_000)
        time.sleep(0.001)

kept = []
threading.Thread(target=leak, daemon=True).start()
sys.exit(main())  # service.process.worker
"""
SUPERVISOR = f"""
import sys
from service import settings as configuration
from service.process.supervisor import Supervisor
from service.telemetry import logs

settings = configuration.load()
logs.configure(settings.log_level, settings.log_format)
sys.exit(Supervisor(settings, worker=("-c", {WORKER!r})).run())
"""
LIMIT = 700_000_000


def test_a_worker_that_grows_beyond_its_limit_is_renewed_without_a_failed_request() -> None:
    with short_folder() as folder:
        models = tiny_models(folder / "models")
        limited = {"worker_max_memory_bytes": LIMIT, "drain_seconds": 60, "grace_seconds": 60}
        with Server(folder, models=models, program=("-c", SUPERVISOR), **limited) as service:
            with httpx.Client(base_url=service.url, timeout=30) as http, working(http) as clients:
                (grown,) = service.worker_pids()
                assert resident_bytes(grown) < LIMIT
                (service.state_dir / "leak").write_text(str(grown))
                eventually(lambda: not is_running(grown), 120)
                assert sum(client.retries for client in clients) == 0
                assert Metrics(http).value("workers_replaced_total", reason="memory") == 1
                assert resident_bytes(service.worker_pids()[0]) < LIMIT
            assert "worker above its memory limit; renewing it" in service.log
            assert stop_at_once(service) == 0
