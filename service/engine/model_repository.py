"""Repository of the model versions on disk: scans for changed folders, and loading while other versions serve."""

import asyncio
import ctypes
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from service.domain.errors import ModelFolderError
from service.domain.models import ModelVersion, VersionFolder, VersionKey
from service.domain.operations import ComputeDtype, Device
from service.engine.folder_signature import folder_signature
from service.engine.loaded_models import LoadedModel, ModelRegistry, load_version
from service.model_folder.memory import NotEnoughMemory, available_memory
from service.tasks.architecture_spec import AnyArchitecture
from service.tasks.architectures import ARCHITECTURES, version_folders
from service.tasks.limits import TextLimits
from service.tasks.tokenizer_file import is_library_error

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


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The fingerprint of a loaded folder; None for a refused one, with the bytes that it lacked, if it was that."""

    fingerprint: str | None = None
    needed_bytes: int | None = None

    def refused(self) -> bool:
        """Return whether it is of no use to load the folder, again or at all."""
        if self.fingerprint is not None or self.needed_bytes is None:
            return self.fingerprint is None
        return (available_memory() or 0) < self.needed_bytes


class FolderModelRepository:
    """Repository of the versions in the folder `models`, which it loads into and removes from `registry`.

    `dtype_of` returns the compute dtype of a model, or None for its own. All models run on `device`. A version
    that takes longer than `load_seconds` to load is refused.
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
        load_seconds: float = 300,
    ) -> None:
        self._models = models
        self._registry = registry
        self._limits = limits
        self._dtype_of = dtype_of
        self._device = device
        self._architectures = architectures
        self._load_seconds = load_seconds
        self._last_signatures: dict[Name, str] | None = None
        # By the folders that were loaded or refused in their present content.
        self._outcomes: dict[tuple[Name, str], _Outcome] = {}

    async def scan(self) -> list[VersionFolder]:
        """Return the version folders, newest first. A folder is settled if two scans found it unchanged.

        The first scan settles all folders. A removed folder is returned once more, unsettled. Raises ModelFolderError
        if there is no folder of models.
        """
        current = await asyncio.to_thread(_signatures, self._models)
        previous = current if self._last_signatures is None else self._last_signatures
        self._last_signatures = current
        signatures = previous | current
        self._outcomes = {
            (name, signature): outcome
            for (name, signature), outcome in self._outcomes.items()
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
        outcome = self._outcomes.get((name, signature))
        if outcome is None:
            return VersionFolder(*name, signature, None, refused=False, settled=settled)
        return VersionFolder(*name, signature, outcome.fingerprint, outcome.refused(), settled)

    async def load(
        self, folder: VersionFolder, announce: Callable[[VersionKey], Awaitable[None]] | None = None
    ) -> ModelVersion | None:
        """Load and register a version. Return None if it was refused, which is logged, or changed meanwhile.

        `announce` is awaited between the two.
        """
        path = self._models / folder.model / folder.version
        # A list, because a result of the thread would stay in memory: the executor's futures are reference cycles.
        results: list[LoadedModel] = []
        outcome = await self._load_in_thread(results, path)
        loaded = results.pop() if outcome.fingerprint is not None else None
        if await asyncio.to_thread(folder_signature, path) != folder.signature:
            return None
        self._outcomes[(folder.model, folder.version), folder.signature] = outcome
        if loaded is None:
            return None
        if announce is not None:
            await announce(loaded.version.version_key)
        self._registry.register(loaded)
        self._trim_memory()
        return loaded.version

    async def _load_in_thread(self, results: list[LoadedModel], path: Path) -> _Outcome:
        """Load a version into `results`. A load that takes too long is refused, and its thread is left behind."""
        dtype = self._dtype_of(path.parent.name)
        load = partial(load_version, path, self._limits, dtype, self._device, self._architectures)
        thread = asyncio.ensure_future(asyncio.to_thread(_load_into, results, path, load))
        done, _ = await asyncio.wait([thread], timeout=self._load_seconds)
        if done:
            return thread.result()
        reason = f"found no end of loading after {self._load_seconds:g} s, expected one: does its disk answer?"
        log.error("model version refused", extra={"folder": str(path), "reason": reason})
        return _Outcome()

    def unload(self, version_key: VersionKey) -> None:
        """Unregister a version and return its memory to the system."""
        self._registry.unregister(version_key)
        self._trim_memory()

    def _trim_memory(self) -> None:
        """Return freed memory to the system. By itself, glibc keeps most of it."""
        asyncio.get_running_loop().run_in_executor(None, TRIM, 0)


def _load_into(results: list[LoadedModel], path: Path, load: Callable[[], LoadedModel]) -> _Outcome:
    """Load a version into `results`, or log why it is refused. Whatever a folder contains, the other versions serve."""
    torch.set_num_threads(1)  # this setting of torch applies to one thread
    try:
        loaded = load()
    except NotEnoughMemory as error:
        log.error("model version refused", extra={"folder": str(path), "reason": str(error)})
        return _Outcome(needed_bytes=error.needed)
    except (ModelFolderError, OSError, MemoryError) as error:
        reason = str(error) or "found more than the memory of this machine holds, expected less"
        log.error("model version refused", extra={"folder": str(path), "reason": reason})
    except BaseException as error:
        if not is_library_error(error):
            raise
        log.error("model version refused", extra={"folder": str(path)}, exc_info=error)
    else:
        results.append(loaded)
        return _Outcome(loaded.version.fingerprint)
    return _Outcome()


def _signatures(models: Path) -> dict[Name, str]:
    return {(folder.parent.name, folder.name): folder_signature(folder) for folder in version_folders(models)}
