"""The model repository: folders are scanned, versions loaded beside others and unloaded."""

import asyncio
import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from service.domain.errors import ModelFolderError, ModelNotReady
from service.domain.models import VersionFolder, VersionKey
from service.domain.operations import ComputeDtype, Predict, TextInput
from service.engine.loaded_models import ModelRegistry
from service.engine.model_repository import FolderModelRepository
from service.tasks.limits import TextLimits
from tests.folders import write_language_model
from tests.forecast_folders import write_forecaster
from tests.integration.engine.running_engine import RunningEngine
from tests.server import ROOT
from tests.translation_folders import write_encoder_decoder


class Models:
    """A model repository and the registry that it fills."""

    def __init__(self, models: Path) -> None:
        self.registry = ModelRegistry()
        self.repository = FolderModelRepository(models, self.registry, TextLimits())

    async def scan(self) -> dict[str, VersionFolder]:
        return {folder.version: folder for folder in await self.repository.scan()}

    async def load_all(self) -> None:
        for folder in await self.repository.scan():
            await self.repository.load(folder)


async def test_what_lies_there_at_first_is_settled_and_what_comes_later_when_it_keeps_still(tmp_path: Path) -> None:
    write_language_model(tmp_path, "m", "1")
    models = Models(tmp_path)
    assert (await models.scan())["1"].settled
    newer = write_language_model(tmp_path, "m", "2")
    scanned = await models.repository.scan()
    assert [(folder.version, folder.settled) for folder in scanned] == [("2", False), ("1", True)]
    (newer / "model.safetensors").write_bytes(b"half")
    assert not (await models.scan())["2"].settled
    assert (await models.scan())["2"].settled


async def test_each_model_runs_in_the_arithmetic_that_was_chosen_for_it(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_language_model(tmp_path, name)
    chosen: dict[str, ComputeDtype] = {"second": "int8"}
    registry = ModelRegistry()
    repository = FolderModelRepository(tmp_path, registry, TextLimits(), chosen.get)
    for folder in await repository.scan():
        await repository.load(folder)
    assert [version.dtype for version in registry.versions()] == ["float32", "int8"]


async def test_a_removed_folder_is_missing_at_the_second_scan(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path, "m", "1")
    models = Models(tmp_path)
    await models.scan()
    folder.rename(tmp_path / "away")
    assert [folder.settled for folder in (await models.scan()).values()] == [False]
    assert await models.scan() == {}


async def test_a_listing_shows_what_lies_there_and_is_no_scan(tmp_path: Path) -> None:
    first = write_language_model(tmp_path, "m", "1")
    models = Models(tmp_path)
    await models.load_all()
    write_language_model(tmp_path, "m", "2")
    listed = {folder.version: folder for folder in await models.repository.list_folders()}
    assert listed["1"].fingerprint == models.registry.versions()[0].fingerprint
    assert (listed["2"].fingerprint, listed["2"].settled) == (None, False)
    assert not (await models.scan())["2"].settled
    await models.repository.list_folders()
    assert (await models.scan())["2"].settled
    first.rename(tmp_path / "away")
    assert [folder.version for folder in await models.repository.list_folders()] == ["2"]
    assert {*await models.scan()} == {"1", "2"}


async def test_a_version_joins_when_what_comes_before_is_done(tmp_path: Path) -> None:
    write_language_model(tmp_path, "m", "1")
    models, announced = Models(tmp_path), list[VersionKey]()

    async def announce(version_key: VersionKey) -> None:
        assert models.registry.versions() == []
        announced.append(version_key)

    (folder,) = await models.repository.scan()
    version = await models.repository.load(folder, announce)
    assert version is not None
    assert (announced, models.registry.versions()) == ([version.version_key], [version])


async def test_without_a_folder_of_models_a_scan_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="found no folder"):
        await Models(tmp_path / "none").scan()


async def test_a_loaded_and_a_broken_folder_are_known_as_long_as_they_stay_as_they_are(tmp_path: Path) -> None:
    write_language_model(tmp_path, "m", "1")
    broken = write_language_model(tmp_path, "m", "2")
    (broken / "config.json").write_text("{")
    models = Models(tmp_path)
    await models.load_all()
    known = await models.scan()
    assert (known["1"].fingerprint, known["1"].refused) == (models.registry.versions()[0].fingerprint, False)
    assert (known["2"].fingerprint, known["2"].refused) == (None, True)
    (broken / "config.json").write_text("{ }")
    assert not (await models.scan())["2"].refused


async def test_a_folder_that_changes_while_it_is_loaded_is_not_served(tmp_path: Path) -> None:
    path = write_language_model(tmp_path, "m", "1")
    models = Models(tmp_path)
    (folder,) = (await models.scan()).values()
    loading = asyncio.create_task(models.repository.load(folder))
    (path / "README.md").write_text("# Changed\n")
    assert await loading is None
    assert models.registry.versions() == []
    assert not (await models.scan())["1"].refused


async def test_an_unloaded_version_leaves_nothing_in_memory(tmp_path: Path) -> None:
    write_language_model(tmp_path, "words")
    write_encoder_decoder(tmp_path, "mt")
    write_forecaster(tmp_path, "sensor")
    models = Models(tmp_path)
    await models.load_all()
    versions = models.registry.versions()
    tasks = [weakref.ref(models.registry.get(version).task) for version in versions]
    # As after start-up: nothing that was there is ever collected, so nothing may lie in a circle.
    gc.freeze()
    gc.disable()
    try:
        for version in versions:
            models.repository.unload(version.version_key)
        assert [task() for task in tasks] == [None, None, None]
    finally:
        gc.enable()
        gc.unfreeze()


async def test_an_answer_under_way_outlives_the_version_and_the_next_one_is_told(tmp_path: Path) -> None:
    write_language_model(tmp_path, "words")
    models = Models(tmp_path)
    await models.load_all()
    (version,) = models.registry.versions()
    operation = Predict(TextInput(text="the dog is small"))

    async with RunningEngine(models.registry) as running:
        under_way = asyncio.create_task(running.run(version, operation, None))
        await asyncio.sleep(0)
        models.repository.unload(version.version_key)
        assert (await under_way).timesteps == 4
        with pytest.raises(ModelNotReady):
            await running.run(version, operation, None)


async def test_weights_overwritten_on_disk_change_no_answer_of_the_loaded_ones(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path, "words")
    models = Models(tmp_path)
    await models.load_all()
    (version,) = models.registry.versions()
    operation = Predict(TextInput(text="the dog is small"))

    async with RunningEngine(models.registry) as running:
        before = await running.run(version, operation, None)
        for file in folder.iterdir():
            with file.open("r+b") as overwritten:
                overwritten.write(os.urandom(file.stat().st_size))
                overwritten.flush()
                assert await running.run(version, operation, None) == before
                overwritten.truncate(0)
        assert await running.run(version, operation, None) == before


#: Prints how much memory was resident before, with and after a version, in bytes.
MEASURE = """
import asyncio, resource, sys
from pathlib import Path
from service.engine.loaded_models import ModelRegistry
from service.engine.model_repository import FolderModelRepository
from service.tasks.limits import TextLimits

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

async def main():
    registry = ModelRegistry()
    repository = FolderModelRepository(Path(sys.argv[1]), registry, TextLimits())
    large, small = await repository.scan()
    await repository.load(small)
    before = resident()
    await repository.load(large)
    loaded = resident()
    repository.unload(registry.versions()[-1].version_key)
    async with asyncio.timeout(15):
        while resident() - before > (loaded - before) / 2:
            await asyncio.sleep(0.05)
    print(before, loaded, resident())

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc; other systems' C libraries decide for themselves")
def test_the_memory_of_an_unloaded_version_goes_back_to_the_system(tmp_path: Path) -> None:
    write_language_model(tmp_path, "m", "1")
    large = write_language_model(tmp_path, "m", "2", hidden_size=512, words=["<unk>", "<s>", *map(str, range(8000))])
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    measured = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    before, loaded, after = map(int, measured.stdout.split())
    assert loaded - before > (large / "model.safetensors").stat().st_size / 2
    assert after - before <= (loaded - before) / 2
