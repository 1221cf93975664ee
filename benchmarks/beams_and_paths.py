"""Processor time of 16 translations with beams of 4, and of 16 forecasts with 100 sample paths, without HTTP and store.

    python -m benchmarks.beams_and_paths [--models models] [--repeats 15] [--json FILE]

Translations are compared with a loop that does nothing but run the network: it encodes sources of like length and
decodes as many rows at each timestep as the beams had. Forecasts are compared with the same forecasts without sample
paths. The figures are medians of turns.
"""

import argparse
import gc
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from service.domain.operations import Operation, Predict, PredictOptions, SeriesInput, TextInput
from service.engine.runner import outcome_of, run_timestep, run_to_completion
from service.nets.layers.attention import EncoderMemory
from service.nets.models.encoder_decoder import EncoderDecoder
from service.tasks.architectures import load_task
from service.tasks.base import AnyTask
from service.tasks.limits import TextLimits
from service.tasks.translation.task import TranslationTask

REQUESTS, BEAM_SIZE, PATHS = 16, 4, 100
SENTENCES = [
    "Where is the nearest railway station, please?",
    "She has been living in Boston for three years.",
    "The weather was so bad that we stayed at home all day.",
    "I am looking forward to seeing you again.",
]
#: About the mean length of the sentences, with the end of sequence.
SOURCE_TOKENS = 12
START = 1_420_416_000_000_000


def translations() -> list[Operation]:
    options = PredictOptions(beam_size=BEAM_SIZE, given=frozenset({"beam_size"}))
    return [Predict(TextInput(text=SENTENCES[index % len(SENTENCES)]), options) for index in range(REQUESTS)]


def forecasts(paths: int) -> list[Operation]:
    options = PredictOptions(samples=paths, seed=1, given=frozenset({"samples", "seed"}))
    values = [15_000 + 9_000 * math.sin(index * math.pi / 24) for index in range(REQUESTS)]
    return [Predict(SeriesInput(((value,),), timestamps=(START,)), options) for value in values]


def run(task: AnyTask, operations: list[Operation]) -> None:
    run_to_completion(task, [task.start(operation, task.initial_state) for operation in operations])


def count_rows(task: TranslationTask) -> list[list[int]]:
    """Return the decoder rows of each translation at each timestep."""
    running = [task.start(operation, task.initial_state) for operation in translations()]
    rows: list[list[int]] = []
    while not all(operation.finished for operation in running):
        rows.append([sum(len(active.search.ids) for active in operation.searches) for operation in running])
        run_timestep(task, [operation for operation in running if not operation.finished])
    for operation in running:
        outcome_of(task, operation)
    return [counts for counts in rows if any(counts)]


@torch.inference_mode()
def run_network(network: EncoderDecoder, rows: list[list[int]]) -> None:
    """Encode sources of one length in one batch, and decode the numbers of rows of each, timestep by timestep."""
    memory, first = network.encode(torch.ones(REQUESTS, SOURCE_TOKENS, dtype=torch.long))
    for counts in rows:
        active = [source for source, count in enumerate(counts) if count]
        owners = torch.tensor([source for source in active for _ in range(counts[source])])
        state = {name: part[owners] for name, part in first.items()}
        own_memory = EncoderMemory(*(part[active] for part in memory))
        decoded = network.step(torch.ones_like(owners), state, own_memory, [counts[source] for source in active])
        network.logits(decoded.features).argmax(-1)


def medians(functions: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Return the median processor time in milliseconds of each function, which run in turns."""
    durations: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats + 1):
        for name, function in functions.items():
            started = time.process_time()
            function()
            durations[name].append(1000 * (time.process_time() - started))
    return {name: statistics.median(times[1:]) for name, times in durations.items()}


def measure(models: Path, repeats: int) -> dict[str, float]:
    """Return the milliseconds of all requests together, and the ratios."""
    checkpoint, translator = load_task(models / "translate-en-fr" / "1", TextLimits())
    forecaster = load_task(models / "taxi-forecast" / "1", TextLimits())[1]
    rows = count_rows(translator)
    functions: dict[str, Callable[[], None]] = {
        "translations": lambda: run(translator, translations()),
        "translation_loop": lambda: run_network(checkpoint.network, rows),
        "forecasts_with_paths": lambda: run(forecaster, forecasts(PATHS)),
        "forecasts_without_paths": lambda: run(forecaster, forecasts(0)),
    }
    times = medians(functions, repeats)
    return {f"{name}_ms": duration for name, duration in times.items()} | {
        "translations_of_loop": times["translation_loop"] / times["translations"],
        "paths_of_none": times["forecasts_without_paths"] / times["forecasts_with_paths"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    # As a worker does it: a full collection looks at all of torch.
    gc.collect()
    gc.freeze()
    figures = json.dumps(measure(arguments.models, arguments.repeats), indent=1)
    print(figures)
    if arguments.json is not None:
        arguments.json.write_text(figures + "\n", "utf-8")


if __name__ == "__main__":
    main()
