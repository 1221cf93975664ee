"""Start-up time of the service with all bundled models, and memory of a worker after some requests.

    python -m benchmarks.start_up [--models models] [--repeats 3]

It starts `unroll serve` with one worker and its embedded store on a free port, requests predictions from every model,
and reads the resident memory of the worker from /proc (Linux).
"""

import argparse
import json
import statistics
import time
import urllib.request
from pathlib import Path

from benchmarks.ours import service
from benchmarks.processes import children_named

TEXT = "How are you? I would like a cup of tea, please. Where is the station? "
SERIES = {"values": [15_000] * 672, "timestamps": {"start": "2015-01-05T00:00:00Z", "step_seconds": 1800}}
INPUTS = {"next-word": {"text": TEXT}, "translation": {"text": TEXT * 4}, "forecasting": SERIES}


def request_json(url: str, body: object | None = None) -> dict[str, list[dict[str, str]]]:
    """Return the JSON answer to a request."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, list[dict[str, str]]] = json.load(response)
        return answer


def query_models(port: int) -> int:
    """Request ten predictions from every model. Return the number of models."""
    models = request_json(f"http://localhost:{port}/v1/models")["data"]
    for model in models * 10:
        request_json(f"http://localhost:{port}/v1/models/{model['id']}/predict", {"input": INPUTS[model["task"]]})
    return len(models)


def worker_megabytes(supervisor: int) -> float:
    """Return the resident memory of the only worker below a supervisor."""
    for child in children_named(supervisor, "service.process.worker"):
        status = Path(f"/proc/{child}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024
    raise RuntimeError(f"process {supervisor} has no worker")


def main() -> None:
    """Print a line per start, and the median."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    seconds = []
    for _ in range(arguments.repeats):
        started = time.monotonic()
        with service(1, arguments.models) as running:
            seconds.append(time.monotonic() - started)
            count = query_models(running.port)
            print(f"{count} models: ready after {seconds[-1]:.1f} s, worker {worker_megabytes(running.process):.0f} MB")
    print(f"median {statistics.median(seconds):.1f} s")


if __name__ == "__main__":
    main()
