"""python -m tests.life --minutes 10: lives of sessions, seed after seed, until time is up or a promise is broken."""

import argparse
import logging
import sys
import time
from collections import Counter

from tests.life.test_session_life import live
from tests.life.world import running_world
from tests.server import short_folder

EXAMPLES = 25


def main() -> int:
    """0 where all examples kept all promises; else the traceback ends with the shortest story that breaks one."""
    parser = argparse.ArgumentParser(prog="python -m tests.life", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1, help="of the first examples")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    seen: Counter[str] = Counter()
    started, seed = time.monotonic(), given.seed
    with short_folder() as folder, running_world(folder) as world:
        while time.monotonic() - started < 60 * given.minutes:
            sys.stdout.write(f"seed {seed}, {EXAMPLES} examples\n")
            sys.stdout.flush()
            live(world, seen, EXAMPLES, seed)
            seed += 1
    width = max(map(len, seen))
    sys.stdout.writelines(f"{what:{width}} {count:>8,}\n" for what, count in sorted(seen.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
