"""The model versions that are served, in memory: each with its task, joining and leaving in one assignment."""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from service.domain.errors import ModelNotReady
from service.domain.models import ModelVersion, VersionKey
from service.domain.operations import ComputeDtype, Device
from service.model_folder.loader import Checkpoint
from service.tasks.base import AnyTask
from service.tasks.limits import TextLimits
from service.tasks.registry import load_task

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model version that serves."""

    version: ModelVersion
    task: AnyTask


class ModelRegistry:
    """All loaded versions, those of one model next to each other, the newest last."""

    def __init__(self, loaded: Iterable[LoadedModel] = ()) -> None:
        self._loaded: dict[tuple[str, str], LoadedModel] = {}
        for one in loaded:
            self.put(one)

    def versions(self) -> list[ModelVersion]:
        """Return all versions in order."""
        return [one.version for one in self._loaded.values()]

    def put(self, loaded: LoadedModel) -> None:
        """Have a version join, in place of its edition before."""
        version = loaded.version
        every = {**self._loaded, (version.name, version.version): loaded}
        self._loaded = dict(sorted(every.items(), key=lambda item: (item[0][0], int(item[0][1]))))

    def drop(self, edition: VersionKey) -> None:
        """Have it leave; what is under way on it ends as it began."""
        self._loaded = {place: one for place, one in self._loaded.items() if one.version.edition != edition}

    def loaded(self, model: ModelVersion) -> LoadedModel:
        """Return the loaded part of a version that `versions` told of. Raises ModelNotReady when it left meanwhile."""
        one = self._loaded.get((model.name, model.version))
        if one is None or one.version.fingerprint != model.fingerprint:
            raise ModelNotReady(f"version {model.version} of {model.name} was replaced this moment", applied="no")
        return one


def load_version(
    folder: Path, limits: TextLimits, dtype: ComputeDtype | None = None, device: Device = "cpu"
) -> LoadedModel:
    """Load one version with its golden vectors replayed, to run in `dtype` or in its own on `device`.

    Raises ModelFolderError, and SettingsError for the device.
    """
    started = time.perf_counter()
    checkpoint, task = load_task(folder, limits, dtype, device)
    if checkpoint.dtype != checkpoint.config.dtype:
        _tell(checkpoint)
    return LoadedModel(_describe(checkpoint, task.state_codec.state_bytes, time.perf_counter() - started), task)


def _tell(checkpoint: Checkpoint) -> None:
    """Log how far another arithmetic than the model's own is from the trainer's values."""
    place = {"model": checkpoint.path.parent.name, "version": checkpoint.path.name, "dtype": checkpoint.dtype}
    if checkpoint.golden is None:
        log.warning("another arithmetic, and no golden vectors that tell how far off it is", extra=place)
        return
    off = {"difference": f"{checkpoint.golden.difference:.3g}", "allowed": f"{checkpoint.golden.tolerance:.3g}"}
    log.info("another arithmetic", extra={**place, **off})


def _describe(checkpoint: Checkpoint, state_bytes: int, seconds: float) -> ModelVersion:
    config, folder = checkpoint.config, checkpoint.path
    return ModelVersion(
        name=folder.parent.name,
        version=folder.name,
        task=config.task,
        architecture=config.architecture,
        cell=config.cell,
        num_layers=config.num_layers,
        hidden_size=config.hidden_size,
        parameters=checkpoint.parameters,
        state_bytes=state_bytes,
        fingerprint=checkpoint.fingerprint,
        dtype=checkpoint.dtype,
        verified=checkpoint.verified,
        created=int((folder / "config.json").stat().st_mtime),
        load_seconds=seconds,
        description=checkpoint.description,
        metrics=checkpoint.metrics,
    )
