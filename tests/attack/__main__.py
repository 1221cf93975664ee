"""python -m tests.attack: attack a running service in every way that is known, and judge what its other clients see."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from tests.attack.attackers.catalog import ATTACKERS, QUICK
from tests.attack.attackers.keys import WrongKeys
from tests.attack.foreign import run as foreign
from tests.attack.judge import Row
from tests.attack.malformed import KINDS, run_malformed
from tests.attack.report import line_of
from tests.attack.run import RunOptions, run
from tests.attack.soak import soak

_QUICK_SCALE = 0.1
#: Families that attack a private store or a supervisor, or no service at all.
_WITHOUT_PROXY = {"outage", "hang", "files"}


def main() -> int:
    """Run once; 0 only if no bound of correctness is broken, with --strict none of timing either."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each attack runs")
    parser.add_argument("--only", nargs="+", choices=ATTACKERS, metavar="NAME", help="run these attacks only")
    parser.add_argument("--quick", action="store_true", help="one second each, a tenth of the connections, fewer kinds")
    parser.add_argument("--seed", type=int, default=1, help="decides what is malformed and how")
    parser.add_argument("--count", type=int, default=1_000_000_000, help="how many malformed requests at most")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--apart", action="store_true", help="attack from another loopback address than the victim's")
    parser.add_argument("--keyless", action="store_true", help="without keys, so that addresses tell clients apart")
    parser.add_argument("--proxy", action="store_true", help="two replicas behind the proxy of docker-compose.yml")
    parser.add_argument("--setting", nargs="+", default=[], metavar="NAME=VALUE", help="settings of the service")
    parser.add_argument("--strict", action="store_true", help="fail on bounds of timing, too")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the table as a page, too")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="run at half of peak instead of attacking")
    parser.add_argument("--malformed", type=int, metavar="COUNT", help="send so many malformed cases instead")
    parser.add_argument("--foreign", type=int, metavar="COUNT", help="attempts at what two tenants have instead")
    parser.add_argument("--list", action="store_true", help="list the attacks and their families")
    arguments = parser.parse_args()
    if arguments.list:
        sys.stdout.writelines(f"{attacker.family:10} {name}\n" for name, attacker in ATTACKERS.items())
        return 0
    # SIGTERM ends a run as Ctrl-C does, so that nothing outlives it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if arguments.soak is not None:
        return asyncio.run(soak(arguments.soak, arguments.workers))
    if arguments.malformed is not None:
        return _run_malformed(arguments)
    if arguments.foreign is not None:
        return _run_foreign(arguments)
    report = asyncio.run(run(_options(arguments)))
    text = "\n".join([*report.lines(), ""])
    sys.stdout.write(text)
    if arguments.report is not None:
        arguments.report.write_text(f"# A run of the attack suite\n\n{text}", "utf-8")
    return 1 if report.failures or (arguments.strict and report.missed) else 0


def _run_malformed(arguments: argparse.Namespace) -> int:
    kinds = [name for name in KINDS if name in (arguments.only or KINDS)]
    report = asyncio.run(run_malformed(arguments.malformed, arguments.seed, kinds=kinds))
    text = "\n".join([*report.lines(), ""])
    sys.stdout.write(text)
    if arguments.report is not None:
        arguments.report.write_text(f"# A run of malformed input\n\n{text}", "utf-8")
    return 1 if report.failures() else 0


def _run_foreign(arguments: argparse.Namespace) -> int:
    report = asyncio.run(foreign.run(foreign.RunOptions(arguments.seed, arguments.foreign)))
    text = "\n".join([*report.lines(), ""])
    sys.stdout.write(text)
    if arguments.report is not None:
        arguments.report.write_text(f"# A run of a hostile tenant behind the proxy\n\n{text}", "utf-8")
    return 1 if report.problems else 0


def _options(arguments: argparse.Namespace) -> RunOptions:
    names = arguments.only or (QUICK if arguments.quick else list(ATTACKERS))
    if arguments.keyless:
        names = [name for name in names if name != WrongKeys.name]
    if arguments.proxy:
        names = [name for name in names if arguments.only or ATTACKERS[name].family not in _WITHOUT_PROXY]
    settings = dict(setting.lower().split("=", 1) for setting in arguments.setting)
    return RunOptions(
        names,
        1.0 if arguments.quick else arguments.seconds,
        arguments.seed,
        _QUICK_SCALE if arguments.quick else 1.0,
        arguments.count,
        arguments.workers,
        "127.0.0.2" if arguments.apart or arguments.keyless else None,
        arguments.keyless,
        arguments.proxy,
        settings,
        _show,
    )


def _show(row: Row) -> None:
    sys.stderr.write(f"{line_of(row)}\n")


if __name__ == "__main__":
    sys.exit(main())
