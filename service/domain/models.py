"""Model versions as values: their keys, properties and folders, and the workers that serve them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal, NamedTuple

from service.domain.operations import Json


@dataclass(frozen=True, slots=True)
class VersionKey:
    """Identity of a version: a version that is changed in place has another fingerprint, and so another key."""

    model: str
    version: str
    fingerprint: str

    @property
    def number(self) -> int:
        """The version as a number, by which the versions of one model are ordered."""
        return int(self.version)

    def names(self) -> dict[str, Json]:
        """Return the fields of a log line about the version."""
        return {"model": self.model, "version": self.version, "fingerprint": self.fingerprint}


class LanguagePair(NamedTuple):
    """The language tags of what a translation model reads and of what it writes, such as `en` and `fr`."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """Properties of a loaded model version.

    `fingerprint` has 64 hexadecimal digits. `created` is in seconds since 1970. `languages` are those that the card of
    a translation model names, if it does. `vector_size` is that of the vector that a sequence begins with, if any.
    `network` describes the layers. `card` is the text of README.md, None without one.
    """

    name: str
    version: str
    task: str
    architecture: str
    cell: str
    num_layers: int
    hidden_size: int | list[int]
    parameters: int
    state_bytes: int
    fingerprint: str
    dtype: str
    verified: bool
    created: int
    load_seconds: float
    description: str = ""
    metrics: dict[str, Json] = field(default_factory=dict)
    languages: LanguagePair | None = None
    vector_size: int | None = None
    network: dict[str, Json] = field(default_factory=dict)
    card: str | None = None

    @property
    def version_key(self) -> VersionKey:
        return VersionKey(self.name, self.version, self.fingerprint)


@dataclass(frozen=True, slots=True)
class VersionFolder:
    """A version's folder at the last scan.

    `signature` follows from the names, sizes and modification times of its files. `fingerprint` is known if the present
    content was loaded. `refused`: that content was rejected when it was loaded. `settled`: the folder has not changed
    since the scan before.
    """

    model: str
    version: str
    signature: str
    fingerprint: str | None = None
    refused: bool = False
    settled: bool = True


@dataclass(frozen=True, slots=True)
class RetirementMark:
    """Mark of a retiring version: `since` in milliseconds since 1970 on the store's clock.

    `drained`: no live session needs the version any more. `signature` is that of its folder, by which a starting worker
    recognises the version without loading it.
    """

    since: int
    reason: Literal["superseded", "removed"]
    signature: str = ""
    drained: bool = False


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """A version as one worker publishes it.

    `accepts_sessions`: new sessions may use it. `recently_used`: sessions on it were run or copied since the last
    heartbeat.
    """

    version_key: VersionKey
    accepts_sessions: bool
    recently_used: bool = False


@dataclass(frozen=True, slots=True)
class ClusterView:
    """The registry of workers at `now`, in milliseconds since 1970 on the store's clock.

    No worker serves the models in `unloaded` until a client asks to load them.
    """

    now: int = 0
    marks: dict[VersionKey, RetirementMark] = field(default_factory=dict)
    workers: dict[str, tuple[ServedVersion, ...]] = field(default_factory=dict)
    unloaded: frozenset[str] = frozenset()

    @property
    def served(self) -> Iterator[ServedVersion]:
        """Every worker's versions; a version appears once for each worker that serves it."""
        return chain.from_iterable(self.workers.values())

    @property
    def version_keys(self) -> set[VersionKey]:
        """The keys of the versions that any worker serves."""
        return {version.version_key for version in self.served}
