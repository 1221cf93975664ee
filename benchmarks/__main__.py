"""Benchmark of this service against the servers that one could use instead, all on the same two cores.

    python -m benchmarks [--quick] [--servers ours-2 triton] [--rounds 3] [--seconds 5] [--parts forward] [--json FILE]

It writes REF-LM, measures session steps over HTTP on one server at a time, in turns, and prints the table and the
targets that are reached. The extra `bench` installs the peers; the row of a peer that cannot be installed says so.
"""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from dataclasses import asdict, fields, replace
from pathlib import Path

import torch

from benchmarks import generator, parts, ref_lm, report
from benchmarks.generator import GeneratorFailed
from benchmarks.parts import PARTS
from benchmarks.servers import SERVERS
from benchmarks.steps import Plan, measure
from service.nets.layers.reduced_precision import multiplies_bfloat16, multiplies_int8

CORES = 2
FULL = Plan(rounds=3, seconds=5, stay=(1, 16, 64, 256), move=(64,))
QUICK = Plan(rounds=1, seconds=2, stay=(1, 64), move=())
QUICK_PARTS = ["forward"]


def pin_to_cores() -> int:
    """Pin this process and its children to two cores. Return the number of cores."""
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores)
    return len(cores)


def describe_machine(cores: int) -> dict[str, object]:
    """Describe the machine (Linux)."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": cores,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "instructions": supported_instructions(),
    }


def supported_instructions() -> dict[str, bool]:
    """Return, for each reduced dtype, whether the processor has the instructions that make it fast."""
    return {"bfloat16": multiplies_bfloat16(), "int8": multiplies_int8()}


def print_progress(line: str) -> None:
    """Print a line to standard error."""
    print(line, file=sys.stderr, flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round: two minutes rather than half an hour")
    parser.add_argument("--servers", nargs="+", choices=[server.name for server in SERVERS], help="only these")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each load")
    parser.add_argument("--stay", type=int, nargs="*", help="connections whose sessions stay on them")
    parser.add_argument("--move", type=int, nargs="*", help="connections among which sessions move at every step")
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), help="what else to measure")
    parser.add_argument("--json", type=Path, help="write the results to this file, too")
    return parser.parse_args()


def plan_of(arguments: argparse.Namespace) -> Plan:
    """Return the quick or the full plan with the values that the command line states."""
    stated = {field.name: getattr(arguments, field.name) for field in fields(Plan)}
    return replace(
        QUICK if arguments.quick else FULL, **{name: value for name, value in stated.items() if value is not None}
    )


def main() -> None:
    arguments = parse_arguments()
    plan = plan_of(arguments)
    servers = [server for server in SERVERS if arguments.servers is None or server.name in arguments.servers]
    try:
        generator.require_wrk()
    except GeneratorFailed as error:
        sys.exit(f"benchmarks: {error}")
    # The exit handlers stop the started servers when the process is terminated.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    cores = pin_to_cores()
    results: dict[str, object] = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": describe_machine(cores),
        "plan": asdict(plan),
        "servers": {server.name: server.title for server in servers},
    }
    with tempfile.TemporaryDirectory() as folder:
        steps = measure(servers, ref_lm.write(Path(folder)), plan, print_progress)
    results |= {"rows": steps.rows, "failures": steps.failures, "failed_rounds": steps.failed_rounds}
    selected = (QUICK_PARTS if arguments.quick else list(PARTS)) if arguments.parts is None else arguments.parts
    results["parts"] = parts.measure(selected, arguments.quick, print_progress)
    print(report.render(results))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
