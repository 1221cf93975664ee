"""Repository of the model versions on disk: scans for changed folders, and loading while other versions serve."""

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
from service.engine.loaded_models import LoadedModel, ModelRegistry, load_version
from service.tasks.architecture_spec import AnyArchitecture
from service.tasks.architectures import ARCHITECTURES, version_folders
from service.tasks.limits import TextLimits

log = logging.getLogger(__name__)

#: Model and version.
Name = tuple[str, str]
_C_LIBRARY = ctypes.CDLL(None)
#: malloc_trim and mallopt of glibc. Other C libraries have no such functions.
TRIM: Callable[[int], object] = getattr(_C_LIBRARY, "malloc_trim", lambda _: None)
MALLOPT: Callable[[int, int], object] = getattr(_C_LIBRARY, "mallopt", lambda _, __: None)
M_ARENA_MAX = -8
# All threads allocate from the main arena. malloc_trim does not return what is free at the top of another arena, so
# tens of megabytes of a model that a thread had loaded stayed in memory after it was unloaded.
MALLOPT(M_ARENA_MAX, 1)


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
        self._last_signatures: dict[Name, str] | None = None
        # Fingerprints of the folders that were loaded in their present content, None for refused ones.
        self._fingerprints: dict[tuple[Name, str], str | None] = {}

    async def scan(self) -> list[VersionFolder]:
        """Return the version folders, newest first. A folder is settled if two scans found it unchanged.

        The first scan settles all folders. A removed folder is returned once more, unsettled. Raises ModelFolderError
        if there is no folder of models.
        """
        current = await asyncio.to_thread(_signatures, self._models)
        previous = current if self._last_signatures is None else self._last_signatures
        self._last_signatures = current
        signatures = previous | current
        self._fingerprints = {
            (name, signature): fingerprint
            for (name, signature), fingerprint in self._fingerprints.items()
            if signatures.get(name) == signature
        }
        folders = [
            self._folder(name, signature, settled=previous.get(name) == current.get(name))
            for name, signature in signatures.items()
        ]
        return sorted(folders, key=lambda folder: (folder.model, -int(folder.version)))

    async def list_folders(self) -> list[VersionFolder]:
        """Return the version folders on disk, none of them settled. Scans are not affected."""
        signatures = await asyncio.to_thread(_signatures, self._models)
        return [self._folder(name, signature, settled=False) for name, signature in signatures.items()]

    def _folder(self, name: Name, signature: str, *, settled: bool) -> VersionFolder:
        fingerprint = self._fingerprints.get((name, signature))
        refused = fingerprint is None and (name, signature) in self._fingerprints
        return VersionFolder(*name, signature, fingerprint, refused, settled)

    async def load(
        self, folder: VersionFolder, announce: Callable[[VersionKey], Awaitable[None]] | None = None
    ) -> ModelVersion | None:
        """Load and register a version. Return None if it was refused, which is logged, or changed meanwhile.

        `announce` is awaited between the two.
        """
        path = self._models / folder.model / folder.version
        # A list, because a result of the thread would stay in memory: the executor's futures are reference cycles.
        results: list[LoadedModel] = []
        dtype = self._dtype_of(folder.model)
        load = partial(load_version, path, self._limits, dtype, self._device, self._architectures)
        await asyncio.to_thread(_load_into, results, path, load)
        loaded = results.pop() if results else None
        if await asyncio.to_thread(_signature, path) != folder.signature:
            return None
        self._fingerprints[(folder.model, folder.version), folder.signature] = (
            None if loaded is None else loaded.version.fingerprint
        )
        if loaded is None:
            return None
        if announce is not None:
            await announce(loaded.version.version_key)
        self._registry.register(loaded)
        self._trim_memory()
        return loaded.version

    def unload(self, version_key: VersionKey) -> None:
        """Unregister a version and return its memory to the system."""
        self._registry.unregister(version_key)
        self._trim_memory()

    def _trim_memory(self) -> None:
        """Return freed memory to the system. By itself, glibc keeps most of it."""
        asyncio.get_running_loop().run_in_executor(None, TRIM, 0)


def _load_into(results: list[LoadedModel], path: Path, load: Callable[[], LoadedModel]) -> None:
    torch.set_num_threads(1)  # this setting of torch applies to one thread
    try:
        results.append(load())
    except ModelFolderError as error:
        log.error("model version refused", extra={"folder": str(path), "reason": str(error)})
    except Exception as error:  # whatever a folder contains, the other versions serve
        log.error("model version refused", extra={"folder": str(path)}, exc_info=error)


def _signatures(models: Path) -> dict[Name, str]:
    return {(folder.parent.name, folder.name): _signature(folder) for folder in version_folders(models)}


def _signature(folder: Path) -> str:
    """Return a digest of the names, sizes and modification times of a folder's files."""
    try:
        files = sorted((file.name, file.stat()) for file in folder.iterdir())
    except OSError as error:
        return f"unreadable: {error.strerror}"
    properties = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in files]
    return hashlib.blake2b(repr(properties).encode(), digest_size=16).hexdigest()
