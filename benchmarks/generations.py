"""Generations of REF-LM: many at once against the bare forward loop, and arrivals against waiting for whole batches.

    python -m benchmarks.generations [--quick] [--json FILE]

The first part requests 64 generations at once from one worker over HTTP, without streaming, and compares its tokens per
second with a loop of forward passes over 64 rows that does nothing else. The second part runs the engine alone. It
sends the same requests of geometric length at the same times twice: once directly to the engine, where they join and
leave the batch at every timestep, and once gathered into whole batches of up to 64, where the next batch starts when
all requests of the previous one have finished. The load is 70 % of the capacity of whole batches; the engine could
carry more.
"""

import asyncio
import http.client
import json
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path

import torch

from benchmarks import ours, ref_lm
from benchmarks.program import run_program
from service.application.deadlines import Deadline
from service.application.operation_runner import OperationRunner
from service.application.request_context import RequestContext
from service.application.time_slices import TurnSlices
from service.bootstrap.worker import SystemClock
from service.domain.operations import Generate, GenerateOptions, TextInput
from service.engine.engine import BatchingEngine
from service.engine.loaded_models import ModelRegistry, load_version
from service.model_folder.loader import read_checkpoint
from service.nets.models.language_model import LanguageModel
from service.tasks.architectures import ARCHITECTURES
from service.tasks.limits import TextLimits
from service.telemetry.metrics import Metrics

BATCH = 64
MEAN_LENGTH, MAX_LENGTH = 40, 1000
LOAD = 0.7
SEED = 1
MAX_LATENCY_SECONDS = 600.0


@dataclass(frozen=True)
class Size:
    """Duration of the measurement: tokens per concurrent generation, rounds, and seconds of arrivals."""

    tokens: int
    rounds: int
    seconds: float


FULL, QUICK = Size(200, 3, 15.0), Size(100, 1, 4.0)


def generate(port: int, tokens: int, temperature: float, word: int) -> int:
    """Generate one text and return its number of tokens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    options = {"max_tokens": tokens, "temperature": temperature, "seed": word}
    body = json.dumps({"input": {"ids": [word]}, "options": options})
    path = f"/v1/models/{ref_lm.NAME}/generate"
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return len(answer["output"]["tokens"])


def measure_service(port: int, tokens: int, temperature: float) -> float:
    """Return the tokens per second of 64 concurrent generations."""
    with ThreadPoolExecutor(BATCH) as pool:
        started = time.perf_counter()
        counts = list(pool.map(partial(generate, port, tokens, temperature), range(1, BATCH + 1)))
        return sum(counts) / (time.perf_counter() - started)


@torch.inference_mode()
def measure_loop(network: LanguageModel, tokens: int) -> float:
    """Return the tokens per second of forward passes over 64 rows, each of which feeds its most probable word next."""
    ids, state = torch.arange(1, BATCH + 1), network.initial_recurrent_state(BATCH)
    started = time.perf_counter()
    for _ in range(tokens):
        features, state = network.step(ids, state)
        ids = network.logits(features).argmax(-1)
    return BATCH * tokens / (time.perf_counter() - started)


def measure_concurrent(model: Path, size: Size) -> dict[str, float]:
    """Measure service and loop in turns. Return the medians of the rates and their ratios."""
    torch.set_num_threads(1)
    network = read_checkpoint(model, ARCHITECTURES).network
    assert isinstance(network, LanguageModel)
    samples: dict[str, list[float]] = {"sampled": [], "greedy": [], "loop": []}
    with ours.service(1, model.parent.parent) as running:
        measure_service(running.port, 10, 1.0)
        measure_loop(network, 10)
        for _ in range(size.rounds):
            samples["sampled"].append(measure_service(running.port, size.tokens, 1.0))
            samples["greedy"].append(measure_service(running.port, size.tokens, 0.0))
            samples["loop"].append(measure_loop(network, size.tokens))
    rates = {name: statistics.median(values) for name, values in samples.items()}
    figures = {f"{name}_tokens_per_second": rate for name, rate in rates.items()}
    return figures | {"of_loop": rates["sampled"] / rates["loop"], "greedy_of_loop": rates["greedy"] / rates["loop"]}


#: Coroutine function that generates a text of this number of tokens, and returns when it is answered.
Serve = Callable[[int], Awaitable[None]]


class WholeBatches:
    """Batcher that gathers up to 64 waiting requests, and answers all of them when the last one has finished."""

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
    """Requests to send: the time of each in seconds, and its number of tokens."""

    times: list[float]
    lengths: list[int]


def draw_lengths(rng: random.Random, count: int) -> list[int]:
    """Draw lengths of a geometric distribution."""
    return [min(MAX_LENGTH, 1 + int(rng.expovariate(1 / (MEAN_LENGTH - 0.5)))) for _ in range(count)]


def draw_arrivals(rate: float, seconds: float) -> Arrivals:
    """Draw arrivals of a Poisson process."""
    rng = random.Random(SEED)
    count = round(rate * seconds)
    times = list(accumulate(rng.expovariate(rate) for _ in range(count)))
    return Arrivals(times, draw_lengths(rng, count))


async def send_all(serve: Serve, arrivals: Arrivals) -> list[float]:
    """Send every request at its time. Return the latencies in seconds."""
    loop = asyncio.get_running_loop()
    begin = loop.time() + 0.1

    async def send(due: float, tokens: int) -> float:
        await asyncio.sleep(begin + due - loop.time())
        await serve(tokens)
        return loop.time() - begin - due

    return await asyncio.gather(
        *(send(due, tokens) for due, tokens in zip(arrivals.times, arrivals.lengths, strict=True))
    )


async def compare_batching(model: Path, seconds: float) -> dict[str, float]:
    """Measure the same arrivals with whole batches and with the engine alone."""
    loaded = load_version(model, TextLimits(generated_tokens=MAX_LENGTH))
    engine = BatchingEngine(ModelRegistry([loaded]), Metrics(), time.monotonic, max_batch=BATCH, max_queue=100_000)
    engine.start()
    clock = SystemClock()
    operations = OperationRunner(engine, clock, TurnSlices())

    async def serve(tokens: int) -> None:
        options = GenerateOptions(max_tokens=tokens, temperature=0)
        context = RequestContext("public", Deadline.after(clock, MAX_LATENCY_SECONDS))
        await operations.run(context, loaded.version, Generate(TextInput(ids=(1,)), options))

    whole = WholeBatches(serve)
    running = asyncio.create_task(whole.run_forever())
    try:
        burst = draw_lengths(random.Random(SEED), 4 * BATCH)
        started = time.perf_counter()
        await send_all(whole.serve, Arrivals([0.0] * len(burst), burst))
        rate = LOAD * len(burst) / (time.perf_counter() - started)
        arrivals = draw_arrivals(rate, seconds)
        batches = statistics.median(await send_all(whole.serve, arrivals))
        joining = statistics.median(await send_all(serve, arrivals))
    finally:
        running.cancel()
        await engine.stop()
    return {
        "per_second": rate,
        "p50": 1000 * joining,
        "whole_batches_p50": 1000 * batches,
        "of_whole_batches": joining / batches,
    }


def measure_arrivals(model: Path, size: Size) -> dict[str, float]:
    """Return median latencies in milliseconds, and their ratio."""
    torch.set_num_threads(1)
    return asyncio.run(compare_batching(model, size.seconds))


def measure(model: Path, size: Size) -> dict[str, object]:
    """Return the figures of generations at once, and of those that arrive one by one."""
    return measure_concurrent(model, size) | measure_arrivals(model, size)


def main() -> None:
    run_program(__doc__, lambda model, quick: measure(model, QUICK if quick else FULL))


if __name__ == "__main__":
    main()
