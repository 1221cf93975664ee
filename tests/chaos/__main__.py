"""python -m tests.chaos --seed 1 --minutes 1: break everything, and count the promises that break with it."""

import argparse
import asyncio
import sys
from pathlib import Path

from tests.chaos.broken import BROKEN
from tests.chaos.roster import CLIENTS
from tests.chaos.run import RunOptions, run


def main() -> int:
    """Run once; 0 only where no promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="decides the plan of faults and of every client")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long clients work")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--clients", type=int, default=len(CLIENTS))
    parser.add_argument("--broken", choices=BROKEN, default="", help="run a build that breaks a promise")
    parser.add_argument("--hostile", action="store_true", help="let another tenant attack meanwhile")
    parser.add_argument("--proxy", action="store_true", help="put two replicas behind the proxy of docker-compose.yml")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report as markdown, too")
    parser.add_argument("--log", type=Path, metavar="FILE", help="copy the log of the service to this file")
    arguments = parser.parse_args()
    report = asyncio.run(
        run(
            RunOptions(
                arguments.seed,
                arguments.minutes,
                arguments.workers,
                arguments.clients,
                arguments.broken,
                hostile=arguments.hostile,
                proxy=arguments.proxy,
                log=arguments.log,
            )
        )
    )
    if arguments.report is not None:
        arguments.report.write_text(report.markdown(), "utf-8")
    sys.stdout.write("\n".join([*report.lines(), ""]))
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
