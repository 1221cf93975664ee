"""Hostile model folders: each is refused with a reason, and the others are served."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.engine.loaded_models import ModelRegistry
from service.engine.model_repository import FolderModelRepository
from service.model_folder import memory
from service.nets.config.language_model_config import LanguageModelConfig
from service.tasks.limits import TextLimits
from service.tasks.next_word.architecture import LANGUAGE_MODEL
from service.tasks.vocabulary import Vocabulary
from tests.folders import write_language_model
from tests.forecast_folders import write_forecaster
from tests.hostile import FOLDERS, FORECASTERS, Spoil
from tests.server import ROOT

ALL = {
    **{name: ("words", *rest) for name, rest in FOLDERS.items()},
    **{n: ("sensor", *r) for n, r in FORECASTERS.items()},
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good folders, to be copied."""
    models = tmp_path_factory.mktemp("good")
    write_language_model(models, "words")
    write_forecaster(models, "sensor")
    return models


def spoiled(good: Path, models: Path, kind: str, name: str, spoil: Spoil) -> Path:
    """A copy of a good folder, spoiled."""
    folder = models / name / "1"
    shutil.copytree(good / kind / "1", folder)
    spoil(folder)
    return folder


def reasons(caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    """The reasons of the refusals by folder, each of which was logged once and without a traceback."""
    refused = [record for record in caplog.records if record.message == "model version refused"]
    assert not [record for record in refused if record.exc_info]
    found = {record.folder: record.reason for record in refused}  # type: ignore[attr-defined]
    assert len(found) == len(refused)
    return found


@pytest.fixture(autouse=True)
def nothing_ran(tmp_path: Path) -> Iterator[None]:
    yield
    assert not list(tmp_path.rglob("ran"))


@pytest.mark.parametrize("name", ALL)
async def test_a_hostile_folder_is_refused_with_the_reason(
    tmp_path: Path, good: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    kind, spoil, mention = ALL[name]
    folder = spoiled(good, tmp_path, kind, "m", spoil)
    registry = ModelRegistry()
    repository = FolderModelRepository(tmp_path, registry, TextLimits())
    (scanned,) = await repository.scan()
    assert await repository.load(scanned) is None
    reason = reasons(caplog)[str(folder)]
    assert mention in reason
    assert re.search("expected|should have|not a Hugging Face", reason)
    assert len(reason) < 9000
    assert registry.versions() == []
    assert (await repository.scan())[0].refused


async def test_the_other_folders_are_served(tmp_path: Path, good: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(good / "words", tmp_path / "a good one")
    shutil.copytree(good / "sensor", tmp_path / "z good one")
    for number, (kind, spoil, _) in enumerate(ALL.values()):
        spoiled(good, tmp_path, kind, f"hostile-{number}", spoil)
    spoiled(good, tmp_path, "words", os.fsdecode(b"no \xff text"), lambda _: None)
    spoiled(good, tmp_path, "words", "two\nlines", lambda _: None)
    registry = ModelRegistry()
    repository = FolderModelRepository(tmp_path, registry, TextLimits())
    for folder in await repository.scan():
        await repository.load(folder)
    assert [version.name for version in registry.versions()] == ["a good one", "z good one"]
    assert len(reasons(caplog)) == len(ALL) + 2


async def test_an_unreadable_folder_is_refused(tmp_path: Path, good: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = spoiled(good, tmp_path, "words", "m", lambda folder: (folder / "config.json").chmod(0))
    if os.access(folder / "config.json", os.R_OK):
        pytest.skip("this user reads every file")
    repository = FolderModelRepository(tmp_path, ModelRegistry(), TextLimits())
    await repository.load((await repository.scan())[0])
    assert "Permission denied" in reasons(caplog)[str(folder)]


async def test_a_version_that_lacks_memory_is_loaded_when_there_is_enough(
    tmp_path: Path, good: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(good / "words", tmp_path / "models" / "m")
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "meminfo").write_text("MemTotal: 99999999 kB\nMemAvailable: 65536 kB\n")
    monkeypatch.setattr(memory.available_memory, "__defaults__", (proc, tmp_path / "none"))
    registry = ModelRegistry()
    repository = FolderModelRepository(tmp_path / "models", registry, TextLimits())
    await repository.load((await repository.scan())[0])
    assert "the memory that is available" in next(iter(reasons(caplog).values()))
    assert (await repository.scan())[0].refused
    (proc / "meminfo").write_text("MemAvailable: 1048576 kB\n")
    folder = (await repository.scan())[0]
    assert not folder.refused
    await repository.load(folder)
    assert [version.name for version in registry.versions()] == ["m"]


async def test_a_change_is_noticed_beside_a_link_that_leads_nowhere(tmp_path: Path, good: Path) -> None:
    folder = spoiled(good, tmp_path, "words", "m", lambda folder: (folder / "notes").symlink_to("none"))
    repository = FolderModelRepository(tmp_path, ModelRegistry(), TextLimits())
    before = (await repository.scan())[0].signature
    (folder / "config.json").write_text("{}")
    assert (await repository.scan())[0].signature != before


async def test_a_load_that_does_not_end_is_left_behind(
    tmp_path: Path, good: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "hangs", "z"):
        shutil.copytree(good / "words", tmp_path / name)
    ended = threading.Event()

    def read_companions(folder: Path, config: LanguageModelConfig) -> Vocabulary:
        if folder.parent.name == "hangs":
            ended.wait(60)
        return LANGUAGE_MODEL.read_companions(folder, config)

    registry, architectures = ModelRegistry(), [replace(LANGUAGE_MODEL, read_companions=read_companions)]
    repository = FolderModelRepository(tmp_path, registry, TextLimits(), architectures=architectures, load_seconds=5.0)
    try:
        for folder in await repository.scan():
            await repository.load(folder)
        assert [version.name for version in registry.versions()] == ["a", "z"]
        assert reasons(caplog)[str(tmp_path / "hangs" / "1")].startswith("found no end of loading after 5 s")
        assert [folder.refused for folder in await repository.scan()] == [False, True, False]
    finally:
        ended.set()
    assert [version.name for version in registry.versions()] == ["a", "z"]


#: Loads all folders and prints the largest memory, in KB, before and after.
MEASURE = """
import asyncio, logging, resource, sys
from pathlib import Path
from service.engine.loaded_models import ModelRegistry
from service.engine.model_repository import FolderModelRepository
from service.tasks.limits import TextLimits

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

async def main():
    logging.disable()
    registry = ModelRegistry()
    repository = FolderModelRepository(Path(sys.argv[1]), registry, TextLimits())
    before = peak()
    for folder in await repository.scan():
        await repository.load(folder)
    print(len(registry.versions()), before, peak())

asyncio.run(main())
"""


def test_hostile_folders_take_no_memory(tmp_path: Path, good: Path) -> None:
    for number, (kind, spoil, _) in enumerate(ALL.values()):
        spoiled(good, tmp_path, kind, f"hostile-{number}", spoil)
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    measured = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    served, before, after = map(int, measured.stdout.split())
    assert served == 0
    assert (after - before) << 10 < 400 * 2**20
    assert "Traceback" not in measured.stderr
