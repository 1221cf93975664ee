"""The examples of the README run against the real service with the bundled models."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.served import ServedProcess
from unroll_client import Client

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedProcess]:
    with ServedProcess(tmp_path) as server:
        server.start()
        yield server


def printed(code: str) -> list[str]:
    """What the comments behind `print` calls say that they print, in order; "" where there is none to compare."""
    calls = re.findall(r"^\s*print\(.*?\)(?:  # (.*))?$", code, re.MULTILINE)
    return ["" if comment.startswith("columns") else comment for comment in calls]


def test_every_example_prints_what_it_says(
    served: ServedProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "readme"}
    blocks = BLOCK.findall(README.read_text("utf-8"))
    assert len(blocks) > 5
    for block in blocks:
        code = block.replace("localhost:8000", served.address)
        capsys.readouterr()
        exec(compile(code, str(README), "exec"), names)  # noqa: S102 - the documented example
        lines, comments = capsys.readouterr().out.splitlines(), printed(block)
        assert len(lines) >= len(comments), block
        for comment in filter(None, comments):
            assert comment in lines, (comment, lines)
    for value in names.values():
        if isinstance(value, Client):
            value.close()
