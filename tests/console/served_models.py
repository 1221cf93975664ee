"""The models that the console is tested and shown with."""

from pathlib import Path

from tests.console.number_models import write_number_models
from tests.console.text_models import write_text_models
from tests.e2e.task_models import write_task_models
from tests.server import ROOT

BUNDLED = ("next-word", "taxi-forecast", "translate-en-fr")


def write_models(folder: Path) -> None:
    """Write the bundled models, and others for each task."""
    for name in BUNDLED:
        (folder / name).symlink_to(ROOT / "models" / name)
    write_task_models(folder)
    write_text_models(folder)
    write_number_models(folder)
