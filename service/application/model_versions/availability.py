"""Availability of model versions: which take new sessions, and which this worker does not serve yet."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.domain.models import ModelVersion, VersionKey


@dataclass(frozen=True, slots=True)
class VersionAvailability:
    """Availability of versions beyond the set that this worker has loaded.

    Args:
        open: versions that take new sessions, or None if every loaded version does.
        elsewhere: versions that other workers serve.
        open_elsewhere: versions that take new sessions on other workers.
        awaited: model and version of folders that this worker has not loaded in their present content.
        unloaded: versions on disk of the models that were unloaded by request.
        informed: whether the list of the other workers' versions is recent.
    """

    open: frozenset[VersionKey] | None = None
    elsewhere: frozenset[VersionKey] = frozenset()
    open_elsewhere: frozenset[VersionKey] = frozenset()
    awaited: frozenset[tuple[str, str]] = frozenset()
    unloaded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    informed: bool = True

    def of(self, models: frozenset[str]) -> "VersionAvailability":
        """Return the availability as if there were no other models than these."""
        return VersionAvailability(
            self.open,
            frozenset(key for key in self.elsewhere if key.model in models),
            frozenset(key for key in self.open_elsewhere if key.model in models),
            frozenset(name for name in self.awaited if name[0] in models),
            {name: versions for name, versions in self.unloaded.items() if name in models},
            self.informed,
        )

    def is_open(self, version: ModelVersion) -> bool:
        """Return whether a loaded version takes new sessions."""
        return self.open is None or version.version_key in self.open

    def pending(self, *, new_sessions: bool) -> frozenset[tuple[str, str]]:
        """Return model and version of all that this worker may still load or that another one serves.

        `new_sessions` leaves out versions that take none on the other workers.
        """
        elsewhere = self.open_elsewhere if new_sessions else self.elsewhere
        return self.awaited | {(version_key.model, version_key.version) for version_key in elsewhere}

    def is_pending(self, version_key: VersionKey) -> bool:
        """Return whether a version that is not loaded here may be served elsewhere, or here later."""
        awaited = (version_key.model, version_key.version) in self.awaited
        return awaited or version_key in self.elsewhere or not self.informed

    def is_fingerprint_pending(self, model: str, fingerprint: str) -> bool:
        """Return whether another worker serves a fingerprint, or a folder that is not loaded yet may have it."""
        elsewhere = any((key.model, key.fingerprint) == (model, fingerprint) for key in self.open_elsewhere)
        return elsewhere or any(name == model for name, _ in self.awaited)
