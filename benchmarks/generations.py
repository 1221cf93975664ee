"""Generations of REF-LM: many at once against the bare forward loop, and arrivals against waiting for whole batches.

    python -m benchmarks.generations [--quick] [--json FILE]

The first part asks the service, one worker, for 64 generations at once over HTTP, not streamed, and compares its tokens
per second with a loop of forward passes over 64 rows that does nothing else. The second runs the engine alone: the same
requests of geometric length at the same times, once as the engine takes them, joining and leaving at every timestep,
and once gathered into batches of up to 64 that are answered, and followed by the next, when all of a batch have
finished. The load is 70 % of what whole batches can do; the engine as it is could bear more.
"""

import argparse
import asyncio
import http.client
import json
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path

import torch

from benchmarks import ours, ref_lm
from service.domain.operations import Generate, GenerateOptions, TextInput
from service.engine.engine import BatchingEngine
from service.engine.registry import ModelRegistry, load_version
from service.model_folder.loader import read_checkpoint
from service.nets.models.language_model import LanguageModel
from service.tasks.limits import TextLimits
from service.tasks.registry import ARCHITECTURES
from service.telemetry.metrics import Metrics

BATCH = 64
MEAN_LENGTH, LONGEST = 40, 1000
LOAD = 0.7
SEED = 1


@dataclass(frozen=True)
class Size:
    """Duration of the measurement: tokens per concurrent generation, rounds, and seconds of arrivals."""

    tokens: int
    rounds: int
    seconds: float


FULL, QUICK = Size(200, 3, 15.0), Size(100, 1, 4.0)


def ask(port: int, tokens: int, temperature: float, word: int) -> int:
    """Generate one text and return its number of tokens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    options = {"max_tokens": tokens, "temperature": temperature, "seed": word}
    body = json.dumps({"input": {"ids": [word]}, "options": options})
    path = f"/v1/models/{ref_lm.NAME}/generate"
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return len(answer["output"]["tokens"])


def served(port: int, tokens: int, temperature: float) -> float:
    """Return tokens per second of 64 generations that are asked for at once."""
    with ThreadPoolExecutor(BATCH) as pool:
        started = time.perf_counter()
        counts = list(pool.map(partial(ask, port, tokens, temperature), range(1, BATCH + 1)))
        return sum(counts) / (time.perf_counter() - started)


@torch.inference_mode()
def looped(network: LanguageModel, tokens: int) -> float:
    """Return tokens per second of forward passes over 64 rows, the most probable word of each fed next."""
    ids, state = torch.arange(1, BATCH + 1), network.initial_recurrent_state(BATCH)
    started = time.perf_counter()
    for _ in range(tokens):
        features, state = network.step(ids, state)
        ids = network.logits(features).argmax(-1)
    return BATCH * tokens / (time.perf_counter() - started)


def at_once(model: Path, size: Size) -> dict[str, float]:
    """Measure service and loop in turns; the ratio is that of the medians."""
    torch.set_num_threads(1)
    network = read_checkpoint(model, ARCHITECTURES).network
    assert isinstance(network, LanguageModel)
    found: dict[str, list[float]] = {"sampled": [], "greedy": [], "loop": []}
    with ours.service(1, model.parent.parent) as running:
        served(running.port, 10, 1.0)
        looped(network, 10)
        for _ in range(size.rounds):
            found["sampled"].append(served(running.port, size.tokens, 1.0))
            found["greedy"].append(served(running.port, size.tokens, 0.0))
            found["loop"].append(looped(network, size.tokens))
    rates = {name: statistics.median(values) for name, values in found.items()}
    told = {f"{name}_tokens_per_second": rate for name, rate in rates.items()}
    return told | {"of_loop": rates["sampled"] / rates["loop"], "greedy_of_loop": rates["greedy"] / rates["loop"]}


#: Generates a text of so many tokens, and returns when it is answered.
Serve = Callable[[int], Awaitable[None]]


class WholeBatches:
    """Gathers what waits, up to 64, and answers all of it when the last one has finished."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._waiting: asyncio.Queue[tuple[int, asyncio.Future[None]]] = asyncio.Queue()

    async def serve(self, tokens: int) -> None:
        answered = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((tokens, answered))
        await answered

    async def run_forever(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            await asyncio.gather(*(self._serve(tokens) for tokens, _ in batch))
            for _, answered in batch:
                answered.set_result(None)


@dataclass(frozen=True)
class Arrivals:
    """Requests to come: when, in seconds, and how many tokens each."""

    times: list[float]
    lengths: list[int]


def lengths(chance: random.Random, count: int) -> list[int]:
    """Draw lengths of a geometric distribution."""
    return [min(LONGEST, 1 + int(chance.expovariate(1 / (MEAN_LENGTH - 0.5)))) for _ in range(count)]


def poisson(rate: float, seconds: float) -> Arrivals:
    """Draw arrivals of a Poisson process."""
    chance = random.Random(SEED)
    count = round(rate * seconds)
    times = list(accumulate(chance.expovariate(rate) for _ in range(count)))
    return Arrivals(times, lengths(chance, count))


async def play(serve: Serve, arrivals: Arrivals) -> list[float]:
    """Send every request at its time; return each one's latency in seconds."""
    loop = asyncio.get_running_loop()
    begin = loop.time() + 0.1

    async def one(at: float, tokens: int) -> float:
        await asyncio.sleep(begin + at - loop.time())
        await serve(tokens)
        return loop.time() - begin - at

    return await asyncio.gather(*(one(at, tokens) for at, tokens in zip(arrivals.times, arrivals.lengths, strict=True)))


async def compare(model: Path, seconds: float) -> dict[str, float]:
    """Measure the same arrivals both ways."""
    loaded = load_version(model, TextLimits(generated_tokens=LONGEST))
    engine = BatchingEngine(ModelRegistry([loaded]), Metrics(), time.monotonic, max_batch=BATCH, max_queue=100_000)
    engine.start()

    async def serve(tokens: int) -> None:
        options = GenerateOptions(max_tokens=tokens, temperature=0)
        await engine.run(loaded.version, Generate(TextInput(ids=(1,)), options), None)

    whole = WholeBatches(serve)
    running = asyncio.create_task(whole.run_forever())
    try:
        burst = lengths(random.Random(SEED), 4 * BATCH)
        started = time.perf_counter()
        await play(whole.serve, Arrivals([0.0] * len(burst), burst))
        rate = LOAD * len(burst) / (time.perf_counter() - started)
        arrivals = poisson(rate, seconds)
        batches = statistics.median(await play(whole.serve, arrivals))
        cells = statistics.median(await play(serve, arrivals))
    finally:
        running.cancel()
        await engine.stop()
    return {
        "per_second": rate,
        "p50": 1000 * cells,
        "whole_batches_p50": 1000 * batches,
        "of_whole_batches": cells / batches,
    }


def arrivals(model: Path, size: Size) -> dict[str, float]:
    """Return median latencies in milliseconds, and their ratio."""
    torch.set_num_threads(1)
    return asyncio.run(compare(model, size.seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    given = parser.parse_args()
    size = QUICK if given.quick else FULL
    with tempfile.TemporaryDirectory() as folder:
        model = ref_lm.write(Path(folder))
        figures = json.dumps(at_once(model, size) | arrivals(model, size), indent=1)
    print(figures)
    if given.json is not None:
        given.json.write_text(figures + "\n", "utf-8")


if __name__ == "__main__":
    main()
