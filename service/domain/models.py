"""Model versions: what is known of a loaded one, of its folder, and of who serves it. Standard library only."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

from service.domain.operations import Json


@dataclass(frozen=True, slots=True)
class VersionKey:
    """What stands in a version's folder, by its fingerprint: changed in place, a version is another edition."""

    model: str
    version: str
    fingerprint: str

    @property
    def number(self) -> int:
        """Versions of one model are ordered by it."""
        return int(self.version)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """What is known of a loaded model version; `fingerprint` is 64 hexadecimal digits."""

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

    @property
    def edition(self) -> VersionKey:
        return VersionKey(self.name, self.version, self.fingerprint)


@dataclass(frozen=True, slots=True)
class VersionFolder:
    """A version's folder as it was last seen: `signature` follows from its files' names, sizes and times of change.

    `fingerprint` is known where it was loaded as it stands, `broken` says that it was refused, `settled` that it kept
    still since the look before.
    """

    model: str
    version: str
    signature: str
    fingerprint: str | None = None
    broken: bool = False
    settled: bool = True


@dataclass(frozen=True, slots=True)
class RetirementMark:
    """A version is retiring `since` milliseconds since 1970 on the store's clock; `drained`: nobody needs it any more.

    `signature` is that of its folder, by which a worker that starts knows it without loading it.
    """

    since: int
    reason: Literal["superseded", "removed"]
    signature: str = ""
    drained: bool = False


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """What a worker tells of an edition: whether it takes new sessions, and whether some moved since its last look."""

    edition: VersionKey
    open: bool
    touched: bool = False


@dataclass(frozen=True, slots=True)
class ClusterView:
    """What the workers know together at `now`, milliseconds since 1970 on the store's clock."""

    now: int = 0
    marks: dict[VersionKey, RetirementMark] = field(default_factory=dict)
    workers: dict[str, tuple[ServedVersion, ...]] = field(default_factory=dict)

    @property
    def served(self) -> Iterator[ServedVersion]:
        """What all workers serve, an edition once for each of them."""
        return chain.from_iterable(self.workers.values())

    @property
    def editions(self) -> set[VersionKey]:
        """The editions that are served anywhere."""
        return {one.edition for one in self.served}
