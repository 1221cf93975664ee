"""The file of API keys: read at the start, and again whenever it changes, while the service runs."""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

from service.application.access.audit import audit
from service.application.access.key_ring import KeyChanges, KeyRing
from service.application.limits.rate_limits import RateLimits
from service.application.ports import Clock
from service.domain.access.api_keys import ApiKey, limits_of_tenants, read_keys
from service.domain.errors import SettingsError
from service.domain.limits import LimitsOfTenants
from service.settings import Settings

log = logging.getLogger(__name__)

#: Interval of the looks at the file, and so how late a revoked key may still be accepted.
POLL_SECONDS = 1.0


def make_keys(settings: Settings) -> KeyRing:
    """Return the keys of the settings; those of the file are read by `KeysFile`."""
    return KeyRing(settings.api_keys, has_file=settings.api_keys_file is not None)


def check_keys(settings: Settings) -> None:
    """Raise SettingsError if the keys of the settings and those of their file cannot be used together."""
    if settings.api_keys_file is not None:
        make_keys(settings).replace(read_keys(settings.api_keys_file), 0)


def load_keys_file(
    settings: Settings, keys: KeyRing, limits: LimitsOfTenants, rate_limits: RateLimits | None, clock: Clock
) -> "KeysFile | None":
    """Read the file that the settings name, and return it, or None if they name none. Raises SettingsError."""
    if settings.api_keys_file is None:
        return None
    file = KeysFile(settings.api_keys_file, keys, limits, rate_limits, clock)
    file.load()
    return file


class KeysFile:
    """The file at `path`, whose keys are those of `keys` and state limits of their tenants.

    A broken file changes nothing: the keys before it stay valid until it is repaired. `current` is whether the keys are
    those of the file as it is now.
    """

    def __init__(
        self, path: Path, keys: KeyRing, limits: LimitsOfTenants, rate_limits: RateLimits | None, clock: Clock
    ) -> None:
        self._path = path
        self._keys = keys
        self._limits = limits
        self._rate_limits = rate_limits
        self._clock = clock
        self._signature: object = None
        self._entries: tuple[ApiKey, ...] = ()
        self.current = True

    def load(self) -> None:
        """Read the file. Raises SettingsError."""
        self._signature = _signature(self._path)
        self._use(read_keys(self._path))
        log.info("API keys read", extra={"keys": len(self._entries)})

    async def watch(self, report: Callable[[bool], None], seconds: float = POLL_SECONDS) -> None:
        """Look at the file again and again. `report` gets `current`, also at once."""
        while True:
            report(self.current)
            await asyncio.sleep(seconds)
            try:
                await self.check()
            except Exception:
                self.current = False
                log.exception("API keys not read")  # revocations that follow must not be missed

    async def check(self) -> None:
        """Read the file if it has changed, and drop the keys that have expired."""
        signature = await asyncio.to_thread(_signature, self._path)
        if signature != self._signature:
            self._signature = signature  # of before the file is read: what changes meanwhile is read again
            try:
                self._log(self._use(await asyncio.to_thread(read_keys, self._path)))
                self.current = True
            except SettingsError as error:
                self.current = False
                log.error("API keys refused; those before stay valid", extra={"reason": str(error)})
        if self._clock.now() >= self._keys.next_expiry:
            self._log(self._use(self._entries))

    def _use(self, entries: tuple[ApiKey, ...]) -> KeyChanges:
        now = self._clock.now()
        changes = self._keys.replace(entries, now)
        self._entries = entries
        self._limits.use(limits_of_tenants(key for key in entries if key.is_valid(now)))
        if self._rate_limits is not None:
            self._rate_limits.update()
        return changes

    def _log(self, changes: KeyChanges) -> None:
        for action, names in (
            ("key.added", changes.added),
            ("key.changed", changes.changed),
            ("key.removed", changes.removed),
            ("key.expired", changes.expired),
        ):
            for name in names:
                audit(action, None, key=name)


def _signature(path: Path) -> object:
    """Return what changes with the content of a file, also if a link on the way to it leads elsewhere."""
    try:
        status = os.stat(path)  # noqa: PTH116 - in a thread, once a second
    except OSError as error:
        return error.errno
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
