"""The examples of clients in the documentation run against the bundled models."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.readme_blocks import Shell, run
from tests.served import ROOT, ServedProcess, free_port
from unroll_client import Client

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
JAVASCRIPT = re.compile(r"^```js\n(.*?)^```", re.MULTILINE | re.DOTALL)
PRINTED = re.compile(r"console\.log\(.*\); // (.*)$", re.MULTILINE)
#: The first release of Node that has WebSocket without a flag.
NODE_WITH_WEBSOCKET = 22
COMMENT = re.compile(r"^\s*print\(.*\)  # (.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    with ServedProcess(tmp_path_factory.mktemp("served"), grpc_port=free_port()) as server:
        server.start()
        yield server


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # of tritonclient
@pytest.mark.parametrize(
    "document",
    [
        "clients/python/README.md",
        "docs/clients.md",
        "docs/libretranslate.md",
        "docs/open-inference.md",
        "docs/openai.md",
    ],
)
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
        code = block.replace("localhost:8000", served.address).replace("localhost:8001", served.grpc_address)
        exec(compile(code, document, "exec"), names)  # noqa: S102
        lines = capsys.readouterr().out.splitlines()
        for comment in COMMENT.findall(block):
            assert comment in lines or comment.startswith("columns"), (comment, lines)
    for value in names.values():
        if isinstance(value, Client):
            value.close()


def test_every_console_example_of_the_clients_document_prints_what_it_shows(served: ServedProcess) -> None:
    with Shell(ROOT, served.environment()) as shell:
        assert run((ROOT / "docs" / "clients.md").read_text("utf-8"), shell, served) == []


@pytest.fixture(scope="module")
def node() -> list[str]:
    """The command that runs a script."""
    path = shutil.which("node")
    if path is None:
        pytest.skip("Node is not installed")
    release = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    if int(release.lstrip("v").partition(".")[0]) >= NODE_WITH_WEBSOCKET:
        return [path]
    options = subprocess.run([path, "--help"], capture_output=True, text=True, check=True).stdout
    if "--experimental-websocket" not in options:
        pytest.skip(f"Node {release.strip()} has no WebSocket")
    return [path, "--experimental-websocket"]


@pytest.mark.parametrize("number", [0, 1])
def test_every_javascript_example_prints_what_it_says(
    number: int, node: list[str], served: ServedProcess, tmp_path: Path
) -> None:
    blocks = JAVASCRIPT.findall((ROOT / "docs" / "clients.md").read_text("utf-8"))
    assert len(blocks) == 2
    script = tmp_path / "example.mjs"
    script.write_text(blocks[number].replace("localhost:8000", served.address), "utf-8")
    run = subprocess.run([*node, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == PRINTED.findall(blocks[number])
