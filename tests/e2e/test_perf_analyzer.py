"""Triton's load generator runs unchanged.

It is linked with a library that pip does not have: on Debian `apt-get install libb64-0d` installs it.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import ROOT, Server, short_folder

TEXTS = {"data": [[{"TEXT": ["How are"]}, {"TEXT": ["you"]}], [{"TEXT": ["I would"]}, {"TEXT": ["like"]}]]}
VALUES = {"data": [[{"VALUES": {"content": [10_000.0, 11_000.0], "shape": [2, 1]}}]]}
NEXT_WORD = ["-m", "next-word", "--shape", "TOKEN_IDS:8", "--sequence-length", "4"]
FORECAST = ["-m", "taxi-forecast", "--shape", "VALUES:4,1", "--sequence-length", "4"]


def environment() -> dict[str, str]:
    """The environment in which the libraries of the wheel nvidia-cuda-runtime-cu12 are found."""
    found = importlib.util.find_spec("nvidia")
    paths = [f"{path}/cuda_runtime/lib" for path in (found.submodule_search_locations or ())] if found else []
    return {**os.environ, "LD_LIBRARY_PATH": ":".join([*paths, os.environ.get("LD_LIBRARY_PATH", "")])}


@pytest.fixture(scope="module")
def perf_analyzer() -> str:
    path = shutil.which("perf_analyzer", path=str(Path(sys.executable).parent))
    if path is None:
        pytest.skip("perf_analyzer is not installed: the wheel tritonclient 2.49.0 for Linux has it")
    libraries = subprocess.run(["ldd", path], env=environment(), capture_output=True, text=True, check=True).stdout
    missing = [line.split()[0] for line in libraries.splitlines() if "not found" in line]
    if missing:
        pytest.skip(f"perf_analyzer lacks {', '.join(missing)}")
    return path


@pytest.fixture(scope="module")
def bundled() -> Iterator[Server]:
    """A service of the bundled models with one worker, which keeps the order of overlapping requests."""
    with short_folder() as folder, Server(folder, models=ROOT / "models", workers=1, grpc_port=0) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        [*NEXT_WORD, "--concurrency-range", "2"],
        [*NEXT_WORD, "--request-rate-range", "20"],
        ["-m", "next-word", "--concurrency-range", "2", "--input-data", "TEXTS"],
        [*FORECAST, "--concurrency-range", "2"],
        [*FORECAST, "--request-rate-range", "20"],
        ["-m", "taxi-forecast", "--concurrency-range", "2", "--input-data", "VALUES"],
    ],
)
def test_no_request_fails(bundled: Server, perf_analyzer: str, tmp_path: Path, arguments: list[str]) -> None:
    run(bundled, perf_analyzer, tmp_path, arguments)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        [*NEXT_WORD, "--concurrency-range", "2"],
        [*NEXT_WORD, "--request-rate-range", "20"],
        [*NEXT_WORD, "--concurrency-range", "2", "--streaming"],
        [*FORECAST, "--concurrency-range", "2", "--streaming"],
        ["-m", "taxi-forecast", "--concurrency-range", "2", "--input-data", "VALUES"],
    ],
)
def test_no_request_over_grpc_fails(bundled: Server, perf_analyzer: str, tmp_path: Path, arguments: list[str]) -> None:
    pytest.importorskip("grpc", reason="grpcio is not installed")
    run(bundled, perf_analyzer, tmp_path, arguments, protocol="grpc")


def run(server: Server, program: str, folder: Path, arguments: list[str], protocol: str = "http") -> None:
    """Run perf_analyzer, and assert that it ends without an error."""
    for name, data in {"TEXTS": TEXTS, "VALUES": VALUES}.items():
        (folder / name).write_text(json.dumps(data))
    arguments = [str(folder / item) if item in {"TEXTS", "VALUES"} else item for item in arguments]
    address = server.grpc_address if protocol == "grpc" else server.url.removeprefix("http://")
    command = [program, "-i", protocol, "-u", address, "-p", "2000", "-r", "3", "-s", "90", *arguments]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Throughput" in done.stdout
