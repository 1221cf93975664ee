"""Registry of the loaded model versions and their tasks, and loading of a version from its folder."""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.domain.errors import ModelFolderError, ModelNotReady
from service.domain.models import ModelVersion, VersionKey
from service.domain.operations import ComputeDtype, Device
from service.model_folder.loader import Checkpoint
from service.tasks.architecture_spec import AnyArchitecture
from service.tasks.architectures import ARCHITECTURES, load_task
from service.tasks.base import AnnotatedTask, AnyTask
from service.tasks.limits import TextLimits

log = logging.getLogger(__name__)

#: As many as the metadata of an exported state can hold of a name.
MAX_NAME_CHARACTERS = 1024


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model version in memory, and the task that runs its operations."""

    version: ModelVersion
    task: AnyTask


class ModelRegistry:
    """The loaded versions, ordered by model and version number.

    Each change replaces the whole mapping, so a reader never sees part of one.
    """

    def __init__(self, loaded: Iterable[LoadedModel] = ()) -> None:
        self._loaded: dict[tuple[str, str], LoadedModel] = {}
        for model in loaded:
            self.register(model)

    def versions(self) -> list[ModelVersion]:
        """Return all versions in order."""
        return [loaded.version for loaded in self._loaded.values()]

    def register(self, loaded: LoadedModel) -> None:
        """Register a version, replacing its previous build."""
        version = loaded.version
        models = {**self._loaded, (version.name, version.version): loaded}
        self._loaded = dict(sorted(models.items(), key=lambda item: (item[0][0], int(item[0][1]))))

    def unregister(self, version_key: VersionKey) -> None:
        """Remove a version. Operations in progress on it continue to their end."""
        self._loaded = {key: model for key, model in self._loaded.items() if model.version.version_key != version_key}

    def find(self, model: str, version: str) -> ModelVersion | None:
        """Return a loaded version, or None."""
        loaded = self._loaded.get((model, version))
        return None if loaded is None else loaded.version

    def get(self, model: ModelVersion) -> LoadedModel:
        """Return a version that `versions` listed. Raises ModelNotReady if it was replaced or removed since."""
        loaded = self._loaded.get((model.name, model.version))
        if loaded is None or loaded.version.fingerprint != model.fingerprint:
            raise ModelNotReady(f"version {model.version} of {model.name} was replaced this moment", applied="no")
        return loaded


def load_version(
    folder: Path,
    limits: TextLimits,
    dtype: ComputeDtype | None = None,
    device: Device = "cpu",
    architectures: Sequence[AnyArchitecture] = ARCHITECTURES,
) -> LoadedModel:
    """Load one version and replay its golden vectors. It runs on `device`, in `dtype` or in its own dtype.

    Raises ModelFolderError, and SettingsError for the device.
    """
    started = time.perf_counter()
    _require_name(folder)
    checkpoint, task = load_task(folder, limits, dtype, device, architectures)
    if checkpoint.dtype != checkpoint.config.dtype:
        _log_dtype_difference(checkpoint)
    return LoadedModel(_describe(checkpoint, task, time.perf_counter() - started), task)


def _require_name(folder: Path) -> None:
    """Refuse names that answers, logs and the store's keys cannot hold. Raises ModelFolderError."""
    for name in (folder.parent.name, folder.name):
        if not name.isprintable() or len(name) > MAX_NAME_CHARACTERS:
            raise ModelFolderError(
                f"{folder}: found the name {name!r}, expected at most {MAX_NAME_CHARACTERS} printable characters"
            )


def _log_dtype_difference(checkpoint: Checkpoint[AnyArchitecture]) -> None:
    """Log how much the outputs in another dtype than the model's own differ from the trainer's values."""
    version = {"model": checkpoint.path.parent.name, "version": checkpoint.path.name, "dtype": checkpoint.dtype}
    if checkpoint.golden is None:
        log.warning("another arithmetic, and no golden vectors that tell how far off it is", extra=version)
        return
    difference = {"difference": f"{checkpoint.golden.difference:.3g}", "allowed": f"{checkpoint.golden.tolerance:.3g}"}
    log.info("another arithmetic", extra={**version, **difference})


def _describe(checkpoint: Checkpoint[AnyArchitecture], task: AnyTask, seconds: float) -> ModelVersion:
    config, folder = checkpoint.config, checkpoint.path
    note = task.note if isinstance(task, AnnotatedTask) else ""
    layers = config.session_layers
    return ModelVersion(
        name=folder.parent.name,
        version=folder.name,
        task=config.task,
        architecture=config.architecture,
        cell=layers.cell,
        num_layers=layers.total_layers,
        hidden_size=layers.hidden_size,
        parameters=checkpoint.parameters,
        state_bytes=task.state_codec.state_bytes,
        fingerprint=checkpoint.fingerprint,
        dtype=checkpoint.dtype,
        verified=checkpoint.verified,
        created=int((folder / "config.json").stat().st_mtime),
        load_seconds=seconds,
        description=" ".join(filter(None, (checkpoint.card.description, note))),
        metrics=checkpoint.card.metrics,
        languages=checkpoint.card.languages if config.translates else None,
        vector_size=config.vector_size,
        network=checkpoint.spec.describe(config).to_json(),
        card=checkpoint.card.text,
    )
