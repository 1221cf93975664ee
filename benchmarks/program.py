"""Command line of the programs that measure the reference network, most of them parts of `make bench`."""

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import ref_lm


def run_program(description: str | None, measure: Callable[[Path, bool], Mapping[str, object]]) -> None:
    """Print the figures that `measure` returns for the folder of the model, and whether to be quick."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = json.dumps(measure(ref_lm.write(Path(folder)), arguments.quick), indent=1)
    print(figures)
    if arguments.json is not None:
        arguments.json.write_text(figures + "\n", "utf-8")
