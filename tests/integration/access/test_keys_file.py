"""The file of API keys: how a worker notices that it changed, and what it makes of one that is broken."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from service.application.access.key_ring import KeyRing
from service.bootstrap.api_keys import KeysFile
from service.domain.access.api_keys import digest_of
from service.domain.errors import SettingsError
from service.domain.limits import LimitsOfTenants
from tests.fakes import ManualClock


def entry(name: str, **fields: Any) -> dict[str, Any]:
    """The entry of a key that is its id."""
    digest = f"sha256:{digest_of(name.encode()).hex()}"
    return {"id": name, "tenant": f"tenant-{name}", "digest": digest, "created_at": "2026-01-01T00:00:00Z"} | fields


def write(path: Path, *entries: dict[str, Any]) -> None:
    path.write_text(json.dumps({"keys": entries}))


class Watched:
    """A file that a worker watches."""

    def __init__(self, path: Path) -> None:
        self.keys, self.limits, self.clock = KeyRing(has_file=True), LimitsOfTenants(), ManualClock()
        self.file = KeysFile(path, self.keys, self.limits, None, self.clock)

    def knows(self, *names: str) -> bool:
        return all(self.keys.find(name.encode()) is not None for name in names)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "keys.json", entry("a"))
    return tmp_path / "keys.json"


@pytest.fixture
def watched(path: Path) -> Watched:
    watched = Watched(path)
    watched.file.load()
    return watched


async def test_a_file_that_was_changed_is_read_again(path: Path, watched: Watched) -> None:
    assert watched.knows("a")
    write(path, entry("b", limits={"sessions": 7}))
    await watched.file.check()
    assert watched.knows("b")
    assert not watched.knows("a")
    assert watched.limits.of("tenant-b").sessions == 7
    write(path, entry("b"))
    await watched.file.check()
    assert watched.limits.of("tenant-b").sessions == 1_000_000


async def test_a_link_that_leads_elsewhere_is_noticed_as_kubernetes_sets_it(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "keys.json", entry(name))
        os.utime(tmp_path / name / "keys.json", ns=(10**18, 10**18))
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "keys.json").symlink_to("..data/keys.json")
    watched = Watched(tmp_path / "keys.json")
    watched.file.load()
    assert watched.knows("one")
    (tmp_path / "..new").symlink_to("two")
    (tmp_path / "..new").rename(tmp_path / "..data")
    await watched.file.check()
    assert watched.knows("two")
    assert not watched.knows("one")


def write_unseen(path: Path, *entries: dict[str, Any]) -> None:
    """Write a file that keeps its size and its time."""
    before = path.stat()
    write(path, *entries)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


async def test_a_file_with_its_old_size_and_time_is_noticed(path: Path, watched: Watched) -> None:
    write_unseen(path, entry("b"))
    await watched.file.check()
    assert watched.knows("b")


def break_file(path: Path, content: str | None) -> None:
    path.unlink() if content is None else path.write_text(content)


@pytest.mark.parametrize("content", ['{"keys": [{"id": "x"}]}', "", None])
async def test_a_broken_file_keeps_the_keys_before_it_until_it_is_repaired(
    path: Path, watched: Watched, caplog: pytest.LogCaptureFixture, content: str | None
) -> None:
    break_file(path, content)
    for _ in range(3):
        await watched.file.check()
    assert watched.knows("a")
    assert not watched.file.current
    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert line.getMessage() == "API keys refused; those before stay valid"
    assert str(path) in vars(line)["reason"]
    if content and "id" in content:
        assert "keys[0].tenant is missing: expected 1 to 128 letters" in vars(line)["reason"]
    write(path, entry("b"))
    await watched.file.check()
    assert watched.knows("b")
    assert watched.file.current


def test_a_broken_file_is_an_error_at_the_start(path: Path) -> None:
    path.write_text("[]")
    with pytest.raises(SettingsError, match=r"UNROLL_API_KEYS_FILE is wrong, .*keys.json: has list"):
        Watched(path).file.load()


async def test_a_key_expires_with_its_limits_although_the_file_stays(path: Path) -> None:
    write(path, entry("a", expires_at="1970-01-01T00:20:00Z", limits={"sessions": 3}))
    watched = Watched(path)
    watched.file.load()
    assert watched.knows("a")
    watched.clock.milliseconds = 1_200_000
    await watched.file.check()
    assert not watched.knows("a")
    assert watched.limits.of("tenant-a").sessions == 1_000_000


async def test_changes_of_keys_are_audited_by_their_ids(
    path: Path, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "unroll.audit")
    write(path, entry("a", note="changed"), entry("b"))
    await watched.file.check()
    write(path, entry("b", expires_at="1970-01-01T00:20:00Z"))
    await watched.file.check()
    watched.clock.milliseconds = 1_200_000
    await watched.file.check()
    audited = [(vars(record)["action"], vars(record)["key"]) for record in caplog.records]
    assert audited == [
        ("key.added", "b"),
        ("key.changed", "a"),
        ("key.changed", "b"),
        ("key.removed", "a"),
        ("key.expired", "b"),
    ]
