"""The melodies of docs/examples/melodies.md, made and played by the programs of that page."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import ROOT, Server, answered, short_folder

PAGE = (ROOT / "docs" / "examples" / "melodies.md").read_text("utf-8")

# The program of the page trains for a minute or more.
pytestmark = pytest.mark.slow


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with the programs of the page and the model that they make."""
    train, play = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    with short_folder() as path:
        for name, text in (("train.py", train), ("play.py", play)):
            (path / name).write_text(text, "utf-8")
        run(path, "train.py")
        run(path, "-m", "service.cli", *shlex.split(command())[1:])
        yield path


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def command() -> str:
    """The command of the page that packs the checkpoint."""
    found = re.search(r"^ {4}(unroll pack (?:[^\\\n]|\\\n)*)", PAGE, re.MULTILINE)
    assert found is not None
    return found[1].replace("\\\n", " ")


def test_the_programs_of_the_page_play_what_it_shows(folder: Path) -> None:
    shown = re.findall(r"^ {4}((?:rising|falling|again): .*)$", PAGE, re.MULTILINE)
    with Server(folder, models=folder / "models", workers=2) as server, server.client() as http:
        play = (folder / "play.py").read_text("utf-8").replace("http://localhost:8000", server.url)
        assert run(folder, "-c", play).splitlines() == shown
        (melodies,) = answered(http.get("/v1/models"))["data"]
    assert melodies["vector_size"] == 2
    assert "a vector of 2 numbers (input.vector)" in melodies["description"]
