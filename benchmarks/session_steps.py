"""Session steps per second over REST, their state stored before each answer.

    python -m benchmarks.session_steps [--workers 1] [--seconds 5] [--connections 1 16 64]

Starts the service with its private store on a free port, opens one session per connection, and lets every connection
send one word after the other as soon as it has the answer. The load generator takes a share of the same processor.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

WORDS = ["I", "would", "like", "a", "cup", "of", "tea", "and", "you", "?"]


@dataclass(frozen=True)
class Figures:
    """One measurement: steps per second and latencies in milliseconds."""

    connections: int
    rate: float
    median: float
    p99: float
    errors: int


@dataclass(frozen=True)
class Running:
    """The service: its port, and the id of its supervisor."""

    port: int
    process: int


@contextmanager
def service(workers: int, models: Path = Path("models")) -> Iterator[Running]:
    """Run the service with its state in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "service.cli", "serve", "--port", "0", "--workers", str(workers)]
        environment = {
            **os.environ,
            "UNROLL_STATE_DIR": folder,
            "UNROLL_LOG_FORMAT": "json",
            "UNROLL_MODELS": str(models),
        }
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        port = 0
        for line in process.stderr:
            entry = json.loads(line)
            port = int(entry["url"].rsplit(":", 1)[1]) if entry["event"] == "starting" else port
            if entry["event"] == "worker ready":
                break
        drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        try:
            yield Running(port, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
            drain.wait()


async def request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: object
) -> tuple[int, bytes]:
    """Send one JSON request on an open connection; returns status and body."""
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    writer.write(head.encode() + content)
    answer = await reader.readuntil(b"\r\n\r\n")
    length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return int(answer[9:12]), await reader.readexactly(length)


async def client(port: int, until: float, latencies: list[float], errors: list[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    _, created = await request(reader, writer, "/v1/sessions", {"model": "next-word"})
    path, step = f"/v1/sessions/{json.loads(created)['id']}/steps", 0
    while time.perf_counter() < until:
        started = time.perf_counter()
        status, _ = await request(reader, writer, path, {"input": {"text": WORDS[step % len(WORDS)]}, "step": step})
        latencies.append(1000 * (time.perf_counter() - started))
        step += 1
        if status != 200:
            errors.append(status)
    writer.close()


async def measure(port: int, connections: int, seconds: float) -> Figures:
    latencies: list[float] = []
    errors: list[int] = []
    until = time.perf_counter() + seconds
    await asyncio.gather(*(client(port, until, latencies, errors) for _ in range(connections)))
    cuts = statistics.quantiles(latencies, n=100)
    return Figures(connections, len(latencies) / seconds, cuts[49], cuts[98], len(errors))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    arguments = parser.parse_args()
    with service(arguments.workers) as running:
        asyncio.run(measure(running.port, 8, 2.0))  # warm-up
        print("| connections | steps/s | median ms | p99 ms | errors |\n|---|---|---|---|---|")
        for connections in arguments.connections:
            figures = asyncio.run(measure(running.port, connections, arguments.seconds))
            print(
                f"| {figures.connections} | {figures.rate:,.0f} | {figures.median:.1f} | {figures.p99:.1f} "
                f"| {figures.errors} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
