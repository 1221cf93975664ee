"""What a worker does not import: compilers and algebra systems take seconds and memory that no request needs."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.server import ROOT

UNNEEDED = ("sympy", "torch._dynamo", "torch._inductor", "onnxruntime", "service.tooling")
LOAD = """
import sys
from pathlib import Path
import service.bootstrap.worker
from service.tasks.architectures import load_task
from service.tasks.limits import TextLimits
load_task(Path(sys.argv[1]), TextLimits())
print(*(name for name in sys.argv[2:] if name in sys.modules))
"""


FOLDERS = sorted(config.parent for config in ROOT.glob("models/*/*/config.json"))


@pytest.mark.parametrize(
    "folder",
    [pytest.param(folder, marks=[pytest.mark.slow] * (folder != FOLDERS[0])) for folder in FOLDERS],
    ids=[folder.parent.name for folder in FOLDERS],
)
def test_a_worker_that_has_loaded_a_model_has_imported_nothing_unneeded(folder: Path) -> None:
    command = [sys.executable, "-c", LOAD, str(folder), *UNNEEDED]
    imported = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    assert imported.split() == []
