"""Changes of a file of API keys: one at a time, and whole or not at all."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from service.domain.access.api_keys import ApiKey, format_keys, parse_keys, read_keys
from service.domain.files import sync


@contextlib.contextmanager
def changing(path: Path) -> Iterator[list[ApiKey]]:
    """Yield the keys of a file, none if it is not there, and write them back when the block ends without an error.

    Raises SettingsError for a broken file, or keys that do not fit together; OSError.
    """
    path = path.resolve()  # a link stays one
    with _locked(path):
        keys = list(read_keys(path)) if path.exists() else []
        yield keys
        content = format_keys(keys)
        parse_keys(content)
        _replace(path, content)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other commands from the file, by a lock on one beside it, as the file itself is replaced."""
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _replace(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, in the place of the one before."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # of mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            with contextlib.suppress(OSError):  # the owner before, if this user may give files away
                status = path.stat()
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)  # noqa: PTH105 - of a name that mkstemp returns
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108 - likewise
        raise
    sync(path.parent)
