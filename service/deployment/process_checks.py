"""Checks of the settings and of the machine that the service runs on."""

import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from service import certificates
from service import settings as configuration
from service.deployment.finding import Finding
from service.domain.access.api_keys import KEYS_SETTING, read_keys
from service.domain.errors import SettingsError
from service.http.middleware.authorization.host_names import is_loopback
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
    yield _check_access(settings)
    yield from _check_certificate(settings)
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


def _check_certificate(settings: Settings) -> Iterator[Finding]:
    try:
        certificate = certificates.load(settings)
    except SettingsError as error:
        yield Finding.error("settings", str(error))
        return
    if certificate is not None:
        yield Finding.ok("settings", "certificate and key fit together (UNROLL_TLS_CERTIFICATE, UNROLL_TLS_KEY)")


def _check_access(settings: Settings) -> Finding:
    if settings.api_keys_file is not None:
        return _check_keys(settings, settings.api_keys_file)
    if settings.api_keys:
        return _keys_of(set(settings.api_keys.values()))
    if is_loopback(settings.host):
        return Finding.ok("access", f"no API keys; {settings.host} can be reached from this machine alone")
    return Finding.warning(
        "access",
        f"no API keys: found UNROLL_HOST {settings.host} without UNROLL_API_KEYS_FILE or UNROLL_API_KEYS, expected "
        "keys, since whoever reaches the port may use the service",
    )


def _check_keys(settings: Settings, path: Path) -> Finding:
    """Return a finding about the file of API keys, and those of the environment beside it."""
    try:
        keys = read_keys(path)
    except SettingsError as error:
        return Finding.error("access", str(error))
    now = int(time.time() * 1000)
    tenants = {key.tenant for key in keys if key.is_valid(now)} | set(settings.api_keys.values())
    if not tenants:
        return Finding.warning(
            "access", f"{KEYS_SETTING}: found no valid key in {path}, expected one, since nobody may use the service"
        )
    return _keys_of(tenants)


def _keys_of(tenants: set[str]) -> Finding:
    return Finding.ok(
        "access", f"API keys of {len(tenants)} {'tenant' if len(tenants) == 1 else 'tenants'} are configured"
    )
