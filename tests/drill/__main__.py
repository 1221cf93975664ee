"""Start the whole stack, break it in every way that an alert is for, and print which alerts fired and cleared.

python -m tests.drill
python -m tests.drill --only UnrollStoreDown
python -m tests.drill --pictures docs
"""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.drill.acts import ACTS
from tests.drill.load import Load
from tests.drill.panels import without_data
from tests.drill.pictures import draw
from tests.drill.programs import PACKAGES, find
from tests.drill.run import HEADING, drill
from tests.drill.stack import KEYS, running_stack


def main() -> int:
    """Run the drill; returns 1 if an alert did not fire or clear, or a panel had no data."""
    parser = argparse.ArgumentParser(prog="python -m tests.drill")
    parser.add_argument("--only", metavar="ALERT", help="what causes this alert alone")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="draw the dashboard into this folder")
    arguments = parser.parse_args()
    lacking = sorted({package for program, package in PACKAGES.items() if find(program) is None})
    if lacking:
        sys.stderr.write(f"not installed: apt-get install {' '.join(lacking)}\n")
        return 2
    # All processes are ended by those who started them.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    acts = [act for act in ACTS if arguments.only in (None, *act.alerts)]
    with tempfile.TemporaryDirectory(prefix="unroll-drill-") as folder, running_stack(Path(folder)) as stack:
        start = time.time()
        say("Windows and waits of the rules are short here: see tests/drill/configuration.py.", HEADING)
        failed = 0
        with Load(stack.url, KEYS["clients"]) as load:
            for row in drill(stack, load, acts):
                say(row)
                failed += not row.passed
        if len(acts) == len(ACTS):
            empty = without_data(stack.prometheus, start, time.time())
            say(*(f"no data: {query}" for query in empty))
            failed += len(empty)
        if arguments.pictures is not None:
            say(*draw(stack.prometheus, arguments.pictures, start, time.time()))
        say(f"answers by status: {dict(sorted(load.statuses.items()))}")
    return int(failed > 0)


def say(*lines: object) -> None:
    """Print lines at once."""
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
