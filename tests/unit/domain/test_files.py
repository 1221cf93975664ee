"""Bounded reading of regular files."""

import os
from pathlib import Path

import pytest

from service.domain.errors import ModelFolderError
from service.domain.files import file_size, open_file, read_file


def test_a_file_is_read_through_links(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "further").symlink_to("link")
    assert read_file(tmp_path / "further", 7, "a file") == b"content"


def test_an_empty_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert read_file(tmp_path / "file", 0, "a file") == b""


def test_a_file_above_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.truncate(tmp_path / "file", 2**40)
    with pytest.raises(ModelFolderError, match=r"file: found 1099511627776 bytes, expected at most 9 \(a file\)"):
        read_file(tmp_path / "file", 9, "a file")


@pytest.mark.parametrize("size", [-1, 1])
def test_a_file_that_grows_or_shrinks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    (tmp_path / "file").write_bytes(b"content")
    monkeypatch.setattr("service.domain.files.file_size", lambda file: file_size(file) + size)
    with pytest.raises(ModelFolderError, match="changes while it is read"):
        read_file(tmp_path / "file", 100, "a file")


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(ModelFolderError, match="found a named pipe, expected a regular file: a file"):
            open_file(tmp_path / name, "a file")


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def test_a_refused_file_is_closed(tmp_path: Path) -> None:
    before = open_files()
    for path in (tmp_path, Path("/dev/zero"), tmp_path / "none", tmp_path / "\0"):
        with pytest.raises(ModelFolderError, match="expected"):
            open_file(path, "a file")
    assert open_files() == before
