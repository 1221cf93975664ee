"""`unroll serve` with the workers of tests/chaos/worker.py: the real supervisor otherwise."""

import sys

from service import settings as configuration
from service.process.supervisor import Supervisor
from service.telemetry import logs

if __name__ == "__main__":
    settings = configuration.load()
    logs.configure(settings.log_level, settings.log_format)
    sys.exit(Supervisor(settings, worker=("-m", "tests.chaos.worker")).run())
