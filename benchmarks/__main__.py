"""The project's benchmark against what users would pick instead, all on the same two cores.

    python -m benchmarks [--quick] [--servers ours-2 triton] [--rounds 3] [--seconds 5] [--parts forward] [--json FILE]

Writes REF-LM, measures session steps over HTTP on every server alone, in turns, and prints the table and which figures
are reached. Peers come with the extra `bench`; one that cannot be had is told in its row.
"""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks import generator, parts, ref_lm, report
from benchmarks.generator import GeneratorFailed
from benchmarks.parts import PARTS
from benchmarks.servers import SERVERS
from benchmarks.steps import Plan, measure

CORES = 2
FULL = Plan(rounds=3, seconds=5, stay=(1, 16, 64, 256), move=(64,))
QUICK = Plan(rounds=1, seconds=2, stay=(1, 64), move=())
QUICK_PARTS = ["forward"]


def confine() -> int:
    """Keep this process and all it starts on two cores; return on how many it is."""
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores)
    return len(cores)


def machine(cores: int) -> dict[str, object]:
    """Describe the machine (Linux)."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": cores,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
    }


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round: two minutes rather than half an hour")
    parser.add_argument("--servers", nargs="+", choices=[server.name for server in SERVERS], help="only these")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each load")
    parser.add_argument("--stay", type=int, nargs="*", help="connections whose sessions stay on them")
    parser.add_argument("--move", type=int, nargs="*", help="connections among which sessions move at every step")
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), help="what else to measure")
    parser.add_argument("--json", type=Path, help="write the results to this file, too")
    given = parser.parse_args()
    usual = asdict(QUICK if given.quick else FULL)
    plan = Plan(**{name: own if getattr(given, name) is None else getattr(given, name) for name, own in usual.items()})
    servers = [server for server in SERVERS if given.servers is None or server.name in given.servers]
    try:
        generator.require()
    except GeneratorFailed as error:
        sys.exit(f"benchmarks: {error}")
    # Ended from outside, it still stops what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    cores = confine()
    results: dict[str, object] = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine(cores),
        "plan": asdict(plan),
        "servers": {server.name: server.title for server in servers},
    }
    with tempfile.TemporaryDirectory() as folder:
        found = measure(servers, ref_lm.write(Path(folder)), plan, tell)
    results |= {"rows": found.rows, "failures": found.failures}
    wanted = (QUICK_PARTS if given.quick else list(PARTS)) if given.parts is None else given.parts
    results["parts"] = parts.measure(wanted, given.quick, tell)
    print(report.render(results))
    if given.json is not None:
        given.json.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
