"""The folder of models, watched: what lies there, whether it keeps still, and loading it aside while others serve."""

import asyncio
import ctypes
import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from service.domain.errors import ModelFolderError
from service.domain.models import ModelVersion, VersionFolder, VersionKey
from service.domain.operations import ComputeDtype, Device
from service.engine.registry import LoadedModel, ModelRegistry, load_version
from service.tasks.architecture_spec import AnyArchitecture
from service.tasks.limits import TextLimits
from service.tasks.registry import ARCHITECTURES, version_folders

log = logging.getLogger(__name__)

Place = tuple[str, str]
#: glibc's malloc_trim; other C libraries have none.
TRIM: Callable[[int], object] = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)


class FolderModelRepository:
    """Repository of the versions in the folder `models`, which it loads into and removes from `registry`.

    `dtype_of` returns the compute dtype of a model, or None for its own. All models run on `device`.
    """

    def __init__(
        self,
        models: Path,
        registry: ModelRegistry,
        limits: TextLimits,
        dtype_of: Callable[[str], ComputeDtype | None] = lambda _: None,
        device: Device = "cpu",
        *,
        architectures: Sequence[AnyArchitecture] = ARCHITECTURES,
    ) -> None:
        self._models = models
        self._registry = registry
        self._limits = limits
        self._dtype_of = dtype_of
        self._device = device
        self._architectures = architectures
        self._before: dict[Place, str] | None = None
        # Fingerprints of the folders that were loaded in their present content, None for those that were refused.
        self._judged: dict[tuple[Place, str], str | None] = {}

    async def scan(self) -> list[VersionFolder]:
        """Return the version folders, newest first. Those that two scans found unchanged are settled, at first all.

        A removed folder is returned once more, unsettled. Raises ModelFolderError if there is no folder of models.
        """
        found = await asyncio.to_thread(_signatures, self._models)
        before = found if self._before is None else self._before
        self._before = found
        now = before | found
        self._judged = {key: value for key, value in self._judged.items() if now.get(key[0]) == key[1]}
        folders = [
            self._folder(place, signature, settled=before.get(place) == found.get(place))
            for place, signature in now.items()
        ]
        return sorted(folders, key=lambda folder: (folder.model, -int(folder.version)))

    async def list_folders(self) -> list[VersionFolder]:
        """Return the version folders on disk, none of them settled. Scans are not affected."""
        found = await asyncio.to_thread(_signatures, self._models)
        return [self._folder(place, signature, settled=False) for place, signature in found.items()]

    def _folder(self, place: Place, signature: str, *, settled: bool) -> VersionFolder:
        key = (place, signature)
        fingerprint = self._judged.get(key)
        refused = key in self._judged and fingerprint is None
        return VersionFolder(*place, signature, fingerprint, refused, settled)

    async def load(
        self, folder: VersionFolder, before_joining: Callable[[VersionKey], Awaitable[None]] | None = None
    ) -> ModelVersion | None:
        """Load and register a version. Return None if it was refused, which is logged, or changed meanwhile."""
        place = (folder.model, folder.version)
        path = self._models / folder.model / folder.version
        # Not as the thread's result: the executor's futures refer to theirs in circles, until a garbage collection.
        found: list[LoadedModel] = []
        dtype = self._dtype_of(folder.model)
        load = partial(load_version, path, self._limits, dtype, self._device, self._architectures)
        await asyncio.to_thread(_load_aside, found, path, load)
        loaded = found.pop() if found else None
        if await asyncio.to_thread(_signature, path) != folder.signature:
            return None
        self._judged[place, folder.signature] = None if loaded is None else loaded.version.fingerprint
        if loaded is None:
            return None
        if before_joining is not None:
            await before_joining(loaded.version.version_key)
        self._registry.register(loaded)
        self._give_memory_back()
        return loaded.version

    def unload(self, version_key: VersionKey) -> None:
        """Unregister a version and return its memory to the system."""
        self._registry.unregister(version_key)
        self._give_memory_back()

    def _give_memory_back(self) -> None:
        """Have the C library return what was freed: by itself glibc keeps most of it."""
        asyncio.get_running_loop().run_in_executor(None, TRIM, 0)


def _load_aside(found: list[LoadedModel], path: Path, load: Callable[[], LoadedModel]) -> None:
    torch.set_num_threads(1)  # torch counts by thread
    try:
        found.append(load())
    except ModelFolderError as error:
        log.error("model version refused", extra={"folder": str(path), "reason": str(error)})
    except Exception as error:  # whatever a folder holds, the others serve
        log.error("model version refused", extra={"folder": str(path)}, exc_info=error)


def _signatures(models: Path) -> dict[Place, str]:
    return {(folder.parent.name, folder.name): _signature(folder) for folder in version_folders(models)}


def _signature(folder: Path) -> str:
    """A digest of the names, sizes and times of change of a folder's files."""
    try:
        files = sorted((file.name, file.stat()) for file in folder.iterdir())
    except OSError as error:
        return f"unreadable: {error.strerror}"
    facts = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in files]
    return hashlib.blake2b(repr(facts).encode(), digest_size=16).hexdigest()
