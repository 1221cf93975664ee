"""The Python examples of the client's README and of docs/clients.md run against the bundled models."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.readme_blocks import Shell, run
from tests.served import ROOT, ServedProcess
from unroll_client import Client

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"^\s*print\(.*\)  # (.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    with ServedProcess(tmp_path_factory.mktemp("served")) as server:
        server.start()
        yield server


@pytest.mark.parametrize("document", ["clients/python/README.md", "docs/clients.md"])
def test_every_python_example_prints_what_it_says(
    document: str,
    served: ServedProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "example"}
    blocks = BLOCK.findall((ROOT / document).read_text("utf-8"))
    assert blocks
    for block in blocks:
        capsys.readouterr()
        exec(compile(block.replace("localhost:8000", served.address), document, "exec"), names)  # noqa: S102
        lines = capsys.readouterr().out.splitlines()
        for comment in COMMENT.findall(block):
            assert comment in lines or comment.startswith("columns"), (comment, lines)
    for value in names.values():
        if isinstance(value, Client):
            value.close()


def test_every_console_example_of_the_clients_document_prints_what_it_shows(served: ServedProcess) -> None:
    with Shell(ROOT, served.environment()) as shell:
        assert run((ROOT / "docs" / "clients.md").read_text("utf-8"), shell, served) == []
