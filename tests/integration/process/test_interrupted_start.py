"""A service that is told to stop while its store is still loading stops at once."""

import os
import signal
import subprocess
import sys

from tests.server import ROOT, eventually, living_in, short_folder


def test_a_stop_does_not_wait_for_a_store_that_is_loading() -> None:
    with short_folder() as folder:
        program = folder / "valkey-server"
        program.write_text("#!/bin/sh\necho begun\nexec sleep 60\n")
        program.chmod(0o755)
        environment = os.environ | {
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "UNROLL_STATE_DIR": str(folder / "state"),
            "UNROLL_PORT": "0",
        }
        environment.pop("REDIS_URL", None)
        with subprocess.Popen([sys.executable, "-m", "service.cli", "serve"], cwd=ROOT, env=environment) as service:
            log = folder / "state" / "store.log"
            eventually(lambda: log.exists() and "begun" in log.read_text(), 60)
            service.send_signal(signal.SIGTERM)
            try:
                assert service.wait(10) == 0
            finally:
                service.kill()
        assert not living_in(folder)
