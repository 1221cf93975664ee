"""The chunk size of long inputs: the cost of a long input, and the delay that it causes for other steps.

    python -m benchmarks.prompts [--model models/next-word/1] [--tokens 128] [--chunks 1 4 16 64]

One thread, no server. The step has one token and joins while the long input is being fed. It waits at most for one
forward pass in which the long input is fed a chunk.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch

from service.domain.operations import Predict, TextInput
from service.engine.loaded_models import load_version
from service.engine.runner import run_timestep
from service.tasks.base import AnyTask
from service.tasks.limits import TextLimits
from service.tasks.next_word import task as next_word

ROUNDS = 9


def time_passes(task: AnyTask, tokens: int) -> list[float]:
    """Feed one input together with a step of one token in each forward pass. Return the time of each pass in ms."""
    ids = tuple(1 + (7919 * index) % 1000 for index in range(tokens))
    long = task.start(Predict(TextInput(ids=ids)), task.initial_state)
    taken = []
    while not long.finished:
        step = task.start(Predict(TextInput(ids=(5,))), task.initial_state)
        started = time.perf_counter()
        run_timestep(task, [long, step])
        taken.append(1000 * (time.perf_counter() - started))
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/next-word/1"))
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--chunks", type=int, nargs="+", default=[1, 4, 16, 64])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    task = load_version(arguments.model, TextLimits(4096, 4096)).task
    taken: dict[int, list[list[float]]] = {chunk: [] for chunk in arguments.chunks}
    for _ in range(ROUNDS):  # in turns, so that a slow moment affects all
        for chunk in arguments.chunks:
            next_word.CHUNK_SHARED = chunk
            taken[chunk].append(time_passes(task, arguments.tokens))
    print(f"| chunk | {arguments.tokens} tokens, ms | a step beside it, ms |\n|---|---|---|")
    for chunk, rounds in taken.items():
        whole = statistics.median(sum(times) for times in rounds)
        print(f"| {chunk} | {whole:.1f} | {statistics.median(statistics.median(times) for times in rounds):.2f} |")


if __name__ == "__main__":
    main()
