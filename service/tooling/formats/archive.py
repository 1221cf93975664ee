"""Bounded reading of zip files."""

import io
import zipfile
import zlib
from pathlib import Path

from service.domain.errors import ModelFolderError
from service.model_folder.memory import require_memory

MAX_MEMBERS = 2**17
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError)


class Archive:
    """Members of a zip file. Raises ModelFolderError for too many, and for members that cannot be read."""

    def __init__(self, path: Path, file: zipfile.ZipFile, size: int) -> None:
        self._path = path
        self._file = file
        self._size = size
        members = file.infolist()
        if len(members) > MAX_MEMBERS:
            raise ModelFolderError(f"{path}: found {len(members)} members, expected at most {MAX_MEMBERS}")
        self._members = {member.filename: member for member in members}

    @property
    def names(self) -> list[str]:
        """The names of the members in the order of the file."""
        return [*self._members]

    def find(self, ending: str) -> str | None:
        """Return the first member that has this name, in any folder."""
        return next((name for name in self._members if name == ending or name.endswith(f"/{ending}")), None)

    def require_stored(self) -> None:
        """Raise ModelFolderError unless the members that `torch.save` writes are stored, each at its own place."""
        members = [member for name, member in self._members.items() if not _is_code(name)]
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
                raise ModelFolderError(
                    f"{self._path}: {member.filename[:80]!r}: found a compressed member of {member.file_size} bytes, "
                    "expected members that are stored as torch.save writes them"
                )
        if (total := sum(member.file_size for member in members)) > self._size:
            raise ModelFolderError(
                f"{self._path}: found members of {total} bytes, expected at most {self._size}, the file's own"
            )

    def size(self, name: str) -> int:
        """Return the bytes of a member, as the archive states them."""
        return self._members[name].file_size

    def read(self, name: str, max_bytes: int | None = None) -> bytes:
        """Return the bytes of a member: at most `max_bytes`, or else what memory can hold. Raises ModelFolderError."""
        member = self._members.get(name)
        if member is None:
            raise ModelFolderError(f"{self._path}: found no member {name[:80]!r}, expected it in the archive")
        if max_bytes is None:
            require_memory(self._path, 2 * member.file_size)
        elif member.file_size > max_bytes:
            raise ModelFolderError(
                f"{self._path}: {name[:80]!r}: found {member.file_size} bytes, expected at most {max_bytes}"
            )
        try:
            return self._file.read(member)
        except _DAMAGE as error:
            reason = " ".join(str(error).split())[:100] or type(error).__name__
            raise ModelFolderError(
                f"{self._path}: {name[:80]!r}: found a damaged member ({reason}), expected a whole file"
            ) from error

    def open(self, name: str, max_bytes: int) -> io.BytesIO:
        """Return a member as a file in memory. Raises ModelFolderError."""
        return io.BytesIO(self.read(name, max_bytes))


def _is_code(name: str) -> bool:
    """Return whether a member is the source text of a TorchScript archive, which is compressed and not run."""
    return "/code/" in name
