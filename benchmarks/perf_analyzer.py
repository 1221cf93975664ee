"""Sequences of the bundled models by perf_analyzer, Triton's own load generator, over HTTP and gRPC.

    python -m benchmarks.perf_analyzer [--quick] [--json FILE]

One worker with its store serves next words, eight words a step, and taxi-forecast, four observations a step. Sixteen
sequences of eight steps each are under way, one step of each at a time; over gRPC by calls, then over streams. The two
cores are shared with perf_analyzer. docs/open-inference.md says where its binary comes from.
"""

import argparse
import csv
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import ours, processes

COMMON = ["--sequence-length", "8", "--concurrency-range", "16"]
MODELS = {
    "next-word": ["-m", "next-word", "--shape", "TOKEN_IDS:8", *COMMON],
    "taxi-forecast": ["-m", "taxi-forecast", "--shape", "VALUES:4,1", *COMMON],
}
PROTOCOLS = {"HTTP": ["-i", "http"], "gRPC": ["-i", "grpc"], "gRPC stream": ["-i", "grpc", "--streaming"]}
#: It measures three windows of this length. It would go on while they differ by more than so many percent.
WINDOW_MILLISECONDS, QUICK_WINDOW_MILLISECONDS = 5000, 1000
ANY_PERCENT = "999"
TIMEOUT_SECONDS = 180


def find() -> tuple[str, dict[str, str]]:
    """Return the path of perf_analyzer, and the environment in which it finds its libraries. Exits without one."""
    path = shutil.which("perf_analyzer", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if path is None:
        sys.exit("perf_analyzer is not installed: docs/open-inference.md says where it comes from")
    nvidia = importlib.util.find_spec("nvidia")
    folders = (nvidia.submodule_search_locations if nvidia else None) or []
    libraries = [*(f"{folder}/cuda_runtime/lib" for folder in folders), os.environ.get("LD_LIBRARY_PATH", "")]
    return path, {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}


def measure(arguments: list[str], milliseconds: int) -> dict[str, float]:
    """Return the steps per second and the latencies in milliseconds. Raises RuntimeError if a request failed."""
    program, environment = find()
    windows = ["-p", str(milliseconds), "-s", ANY_PERCENT]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.csv"
        done = subprocess.run(
            [program, *arguments, *windows, "-f", str(report)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        if done.returncode or not report.exists():
            raise RuntimeError((done.stdout + done.stderr)[-600:])
        with report.open(encoding="utf-8") as file:
            row = next(csv.DictReader(file))
    return {
        "steps_per_second": float(row["Inferences/Second"]),
        "p50_ms": float(row["p50 latency"]) / 1000,
        "p99_ms": float(row["p99 latency"]) / 1000,
    }


def measure_all(milliseconds: int) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Measure each model over each protocol."""
    grpc_port = processes.free_port()
    with ours.service(grpc_port=grpc_port) as running:
        for model, arguments in MODELS.items():
            for protocol, choice in PROTOCOLS.items():
                port = running.port if protocol == "HTTP" else grpc_port
                yield model, protocol, measure([*choice, "-u", f"127.0.0.1:{port}", *arguments], milliseconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="windows of one second rather than five")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    options = parser.parse_args()
    print("| model | protocol | steps/s | p50 | p99 |\n|---|---|---|---|---|")
    rows = []
    for model, protocol, figures in measure_all(QUICK_WINDOW_MILLISECONDS if options.quick else WINDOW_MILLISECONDS):
        rows.append({"model": model, "protocol": protocol, **figures})
        rate, p50, p99 = figures.values()
        print(f"| {model} | {protocol} | {rate:,.0f} | {p50:.1f} ms | {p99:.1f} ms |", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
