"""Executes the examples of docs/import.md: each command prints what the document shows."""

import os
import sys
from pathlib import Path

import pytest

from tests.readme_blocks import Shell, parse, run
from tests.served import ROOT, clean_environment

COMMANDS = 'unroll() { "$PYTHON" -m service.cli "$@"; }; python() { "$PYTHON" "$@"; }'


class NoServer:
    """The examples need no server."""

    address = "localhost:8000"

    def start(self, workers: int = 1) -> None:
        raise AssertionError(workers)

    def restart(self) -> None:
        raise AssertionError


@pytest.mark.slow
def test_every_example_prints_what_it_shows(tmp_path: Path) -> None:
    document = (ROOT / "docs" / "import.md").read_text("utf-8")
    assert len(parse(document)) >= 8
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = clean_environment(PYTHON=sys.executable, PYTHONPATH=path, NO_COLOR="1", COLUMNS="120")
    with Shell(tmp_path, environment) as shell:
        shell.run(COMMANDS)
        failures = run(document, shell, NoServer())
    assert failures == [], os.linesep.join(failures)
