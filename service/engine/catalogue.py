"""The model versions that are served: loads each folder with its task and sets broken ones aside."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service.engine.runner import AnyTask
from service.errors import InternalError, ModelFolderError
from service.nets.checkpoint import Checkpoint
from service.tasks.limits import TextLimits
from service.tasks.loading import load_task, version_folders
from service.types import ModelVersion

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model version that serves."""

    version: ModelVersion
    task: AnyTask


class Catalogue:
    """All loaded versions, those of one model next to each other, the newest last."""

    def __init__(self, loaded: list[Loaded]) -> None:
        self._loaded = {(one.version.name, one.version.version): one for one in loaded}

    def versions(self) -> list[ModelVersion]:
        """Return all versions in order."""
        return [one.version for one in self._loaded.values()]

    def loaded(self, model: ModelVersion) -> Loaded:
        """Return the loaded part of a version that `versions` told of."""
        one = self._loaded.get((model.name, model.version))
        if one is None:
            raise InternalError(f"version {model.version} of {model.name} is not loaded")
        return one


def load_catalogue(models: Path, limits: TextLimits, on_loaded: Callable[[ModelVersion], None]) -> Catalogue:
    """Load every version below `models`; a broken one is logged and leaves the others serving."""
    loaded = []
    try:
        folders = version_folders(models)
    except ModelFolderError as error:
        log.error("no models folder", extra={"reason": str(error)})
        folders = []
    for folder in folders:
        try:
            one = load_version(folder, limits)
        except ModelFolderError as error:
            log.error("model version refused", extra={"folder": str(folder), "reason": str(error)})
            continue
        except Exception as error:  # whatever a folder holds, the others serve
            log.error("model version refused", extra={"folder": str(folder)}, exc_info=error)
            continue
        log.info("model version loaded", extra=_summary(one.version))
        on_loaded(one.version)
        loaded.append(one)
    return Catalogue(loaded)


def load_version(folder: Path, limits: TextLimits) -> Loaded:
    """Load one version with its golden vectors replayed. Raises ModelFolderError."""
    started = time.perf_counter()
    checkpoint, task = load_task(folder, limits)
    return Loaded(_describe(checkpoint, task.state_bytes, time.perf_counter() - started), task)


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
        dtype=config.dtype,
        verified=checkpoint.verified,
        created=int((folder / "config.json").stat().st_mtime),
        load_seconds=seconds,
        description=checkpoint.description,
        metrics=checkpoint.metrics,
    )


def _summary(version: ModelVersion) -> dict[str, str | bool | float]:
    return {
        "model": version.name,
        "version": version.version,
        "fingerprint": version.fingerprint,
        "verified": version.verified,
        "seconds": round(version.load_seconds, 3),
    }
