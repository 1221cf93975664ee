"""Executes the README: its console blocks run against the real service with the bundled models."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.checks.places import ROOT
from tests.readme_blocks import Shell, parse, run
from tests.served import ServedProcess

#: `unroll` and `.venv/bin/` of the README are this interpreter's.
COMMANDS = """\
unroll() { "$PYTHON" -m service.cli "$@"; }
python() { "$PYTHON" "$@"; }
python3() { "$PYTHON" "$@"; }
"""


@pytest.fixture(scope="module")
def readme() -> str:
    return (ROOT / "README.md").read_text("utf-8")


def test_the_readme_shows_how_to_start_the_service_and_how_it_survives(readme: str) -> None:
    blocks = parse(readme)
    assert any(command.text.startswith("make serve") for block in blocks for command in block.commands)
    assert any(block.restart for block in blocks)


def test_every_console_block_of_the_readme_prints_what_it_shows(readme: str, tmp_path: Path) -> None:
    assert shutil.which("curl"), "the README's commands need curl"
    with ServedProcess(tmp_path) as server:
        environment = server.environment() | {"PYTHON": sys.executable, "NO_COLOR": "1", "COLUMNS": "120"}
        with Shell(ROOT, environment) as shell:
            shell.run(COMMANDS)
            failures = run(readme.replace(".venv/bin/", ""), shell, server)
        assert failures == [], os.linesep.join([*failures, "The server's log ends with:", server.log[-2000:]])
