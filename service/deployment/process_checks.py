"""Checks of the settings and of the machine that the service runs on."""

import os
import resource
from collections.abc import Iterator

from service import settings as configuration
from service.deployment.access_checks import check_access
from service.deployment.finding import Finding
from service.settings import Settings

#: Files that a worker needs beside its connections: sockets to the store, models, logs.
SPARE_FILES = 192


def check_settings(settings: Settings) -> Iterator[Finding]:
    """Yield findings about variables that are unknown, who may use the service, and its certificate."""
    unknown = configuration.unknown_variables()
    for name in unknown:
        yield Finding.warning(
            "settings", f"{name} is no setting: found it in the environment, expected one that is documented"
        )
    if not unknown:
        yield Finding.ok("settings", "all variables UNROLL_* of the environment are known")
    yield from check_access(settings)
    if settings.grace_seconds <= settings.drain_seconds:
        yield Finding.warning(
            "settings",
            f"UNROLL_GRACE_SECONDS is {settings.grace_seconds:g}: expected more than UNROLL_DRAIN_SECONDS, "
            f"{settings.drain_seconds:g}, since the time to drain is part of it",
        )


def check_machine(settings: Settings) -> Iterator[Finding]:
    """Yield findings about processors and open files."""
    cores = len(os.sched_getaffinity(0))
    workers = f"{settings.workers} worker processes (UNROLL_WORKERS) on {cores} processors"
    if settings.workers > cores:
        yield Finding.warning("machine", f"{workers}: expected at most one for each, since each computes all the time")
    else:
        yield Finding.ok("machine", workers)
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.max_connections + SPARE_FILES
    if limit not in (resource.RLIM_INFINITY, -1) and limit < wanted:
        yield Finding.warning(
            "machine",
            f"the limit of open files is {limit} (ulimit -Hn): expected {wanted} or more for "
            f"{settings.max_connections} connections of a worker (UNROLL_MAX_CONNECTIONS)",
        )
    else:
        yield Finding.ok(
            "machine", f"{limit} open files are allowed" if limit > 0 else "any number of open files is allowed"
        )
