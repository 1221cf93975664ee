"""Time to the first token of streamed generations beside the time of whole answers, at 70 % of the capacity.

    python -m benchmarks.time_to_first_token [--quick] [--json FILE]

One worker serves REF-LM. The capacity is the rate at which it answers a burst of whole generations of geometric length.
The same Poisson arrivals at 70 % of it are then sent in turns as streams and as requests for whole answers, each over
a connection of its own.
"""

import asyncio
import json
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from benchmarks import ours, ref_lm
from benchmarks.generations import BATCH, LOAD, SEED, Arrivals, draw_arrivals, draw_lengths
from benchmarks.program import run_program

FIRST_TOKEN = b"event: token\n"
DONE = b"event: done\n"


@dataclass(frozen=True)
class Timing:
    """Seconds from the time at which a request was due to the first token, for a stream, and to the end."""

    first: float
    total: float


async def generate(port: int, tokens: int, *, stream: bool, due: float) -> Timing:
    """Generate a text. Raises AssertionError if it is not answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    options = {"max_tokens": tokens, "temperature": 0, "stream": stream}
    body = json.dumps({"input": {"ids": [1]}, "options": options}).encode()
    head = f"POST /v1/models/{ref_lm.NAME}/generate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    received, first = b"", 0.0
    while part := await reader.read(65_536):
        received += part
        if stream and not first and FIRST_TOKEN in received:
            first = time.perf_counter() - due
    writer.close()
    assert received.startswith(b"HTTP/1.1 200"), received[:300]
    assert not stream or DONE in received, received[-300:]
    return Timing(first, time.perf_counter() - due)


async def send_all(port: int, arrivals: Arrivals, *, stream: bool) -> list[Timing]:
    """Send every request at its time."""
    begin = time.perf_counter() + 0.1

    async def send(after: float, tokens: int) -> Timing:
        await asyncio.sleep(begin + after - time.perf_counter())
        return await generate(port, tokens, stream=stream, due=begin + after)

    pairs = zip(arrivals.times, arrivals.lengths, strict=True)
    return await asyncio.gather(*(send(after, tokens) for after, tokens in pairs))


async def measure(port: int, seconds: float, rounds: int) -> dict[str, float]:
    """Measure streams and whole answers in turns. Return figures in milliseconds."""
    burst = Arrivals([0.0] * (4 * BATCH), draw_lengths(random.Random(SEED), 4 * BATCH))
    await send_all(port, burst, stream=False)
    started = time.perf_counter()
    await send_all(port, burst, stream=False)
    rate = LOAD * len(burst.times) / (time.perf_counter() - started)
    arrivals = draw_arrivals(rate, seconds)
    streams, wholes = [], []
    for _ in range(rounds):
        streams.append(await send_all(port, arrivals, stream=True))
        wholes.append(await send_all(port, arrivals, stream=False))
    figures = {"per_second": rate}
    for name, timings, value in (
        ("first_token", streams, lambda timing: timing.first),
        ("stream", streams, lambda timing: timing.total),
        ("whole", wholes, lambda timing: timing.total),
    ):
        figures |= _percentiles(name, [*chain.from_iterable(timings)], value)
    figures["first_token_of_whole"] = figures["first_token_p50"] / figures["whole_p50"]
    figures["stream_of_whole"] = figures["stream_p50"] / figures["whole_p50"]
    return figures


def _percentiles(name: str, timings: list[Timing], value: Callable[[Timing], float]) -> dict[str, float]:
    milliseconds = [1000 * value(timing) for timing in timings]
    return {
        f"{name}_p50": statistics.median(milliseconds),
        f"{name}_p99": statistics.quantiles(milliseconds, n=100)[98],
    }


def main() -> None:
    run_program(__doc__, lambda model, quick: measure_service(model, *((4.0, 1) if quick else (15.0, 3))))


def measure_service(model: Path, seconds: float, rounds: int) -> dict[str, float]:
    """Return the figures of `measure` for a service with one worker."""
    with ours.service(1, model.parent.parent) as running:
        return asyncio.run(measure(running.port, seconds, rounds))


if __name__ == "__main__":
    main()
