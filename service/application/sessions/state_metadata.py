"""Metadata of exported states."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.errors import InvalidRequest
from service.domain.models import ModelVersion
from service.domain.sessions import Record

FORMAT = "1"
#: The largest count that every JSON reader holds exactly.
MAX_COUNT = 2**53
_COUNT = (r"0|[1-9][0-9]{0,15}", f"an integer from 0 to {MAX_COUNT}")
_NAME = (r"(?s).{1,1024}", "a name")
#: Each entry, how it is written, and that in words.
_ENTRIES = {
    "format_version": (FORMAT, f"{FORMAT}, the format that this release reads"),
    "model": _NAME,
    "version": _NAME,
    "task": _NAME,
    "fingerprint": (r"sha256:[0-9a-f]{64}", "sha256: and 64 hexadecimal digits"),
    "dtype": _NAME,
    "step": _COUNT,
    "timesteps": _COUNT,
}


@dataclass(frozen=True, slots=True)
class StateMetadata:
    """Model version and progress of an exported state. `fingerprint` has 64 hexadecimal digits."""

    model: str
    version: str
    task: str
    fingerprint: str
    dtype: str
    step: int
    timesteps: int

    def require(self, model: ModelVersion) -> None:
        """Raise InvalidRequest if the metadata contradicts the version that has its fingerprint."""
        for name, value, expected in (("task", self.task, model.task), ("dtype", self.dtype, model.dtype)):
            if value != expected:
                raise _refusal(name, f"is {value[:80]!r}", f"{expected!r}, that of the model version")


def metadata_of(record: Record, model: ModelVersion) -> dict[str, str]:
    """Return the metadata of a session's state."""
    return {
        "format_version": FORMAT,
        "model": record.model,
        "version": record.version,
        "task": model.task,
        "fingerprint": f"sha256:{record.fingerprint}",
        "dtype": record.dtype,
        "step": str(record.step),
        "timesteps": str(record.timesteps),
    }


def read_metadata(metadata: Mapping[str, str]) -> StateMetadata:
    """Parse the metadata of a file; unknown entries are ignored. Raises InvalidRequest that names the entry."""
    entries = {name: _entry(metadata, name) for name in _ENTRIES}
    return StateMetadata(
        entries["model"],
        entries["version"],
        entries["task"],
        entries["fingerprint"].removeprefix("sha256:"),
        entries["dtype"],
        _count("step", entries["step"]),
        _count("timesteps", entries["timesteps"]),
    )


def _entry(metadata: Mapping[str, str], name: str) -> str:
    pattern, expected = _ENTRIES[name]
    if name not in metadata:
        raise _refusal(name, "is missing", expected)
    if not re.fullmatch(pattern, metadata[name], re.ASCII):
        raise _refusal(name, f"is {metadata[name][:80]!r}", expected)
    return metadata[name]


def _count(name: str, digits: str) -> int:
    if int(digits) > MAX_COUNT:
        raise _refusal(name, f"is {digits}", _COUNT[1])
    return int(digits)


def _refusal(name: str, problem: str, expected: str) -> InvalidRequest:
    return InvalidRequest(f"metadata.{name} {problem}: expected {expected}", param=f"metadata.{name}")
