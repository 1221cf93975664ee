"""The forward pass alone, one thread: a whole one-token step of REF-LM with its output layer, steps per second.

    python -m benchmarks.forward [--batches 1 4 16 64 256] [--rounds 7] [--json FILE]

REF-LM has a vocabulary of 10,000, an embedding of 256, an LSTM of 2 x 512 and random weights, the same for all engines:
`nn.LSTM` with `nn.Linear`, ONNX Runtime (float32, and int8 with dynamic scales; `pip install -e '.[bench]'` brings it),
and this service's network in each arithmetic. The engines take turns, so that a busy machine affects all
of them; compare the ratios of the medians.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# As `unroll serve` starts its workers. Set before torch is imported, which reads them only once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

import torch
from torch import Tensor

from benchmarks.onnx_engines import onnx_engines
from benchmarks.ref_lm import HIDDEN, LAYERS, VOCABULARY, build, config
from service.model_folder.safetensors_weights import assemble
from service.nets.config.language_model_config import LanguageModelConfig
from service.tasks.next_word.architecture import LANGUAGE_MODEL

#: Function that prepares steps of one batch size: ids (B,) -> a function that runs one step.
Engine = Callable[[Tensor], Callable[[], object]]

EAGER, ONNX, OURS = "nn.LSTM, nn.Linear", "ONNX Runtime float32", "ours float32"
#: A round of one engine lasts at least this long.
ROUND_SECONDS = 0.15


def eager_engine(ids: Tensor) -> Callable[[], object]:
    """Prepare the step in a few lines of PyTorch."""
    network = build()
    state = (torch.zeros(LAYERS, len(ids), HIDDEN), torch.zeros(LAYERS, len(ids), HIDDEN))
    return lambda: network(ids[:, None], state)


def service_engine(tensors: dict[str, Tensor], arithmetic: str) -> Engine:
    """Return the engine that runs the network as the service does."""
    fields = LanguageModelConfig.model_validate(config(VOCABULARY, HIDDEN))
    network = assemble(LANGUAGE_MODEL, fields, tensors, arithmetic)

    def prepare(ids: Tensor) -> Callable[[], object]:
        state = network.initial_recurrent_state(len(ids))

        def step() -> object:
            features, after = network.step(ids, state)
            return network.logits(features), after

        return step

    return prepare


def engines() -> Iterator[tuple[str, Engine]]:
    tensors = {**build().state_dict()}
    yield EAGER, eager_engine
    yield from onnx_engines(tensors)
    for arithmetic in ("float32", "bfloat16", "int8"):
        yield f"ours {arithmetic}", service_engine(tensors, arithmetic)


def seconds_per_call(step: Callable[[], object]) -> float:
    calls, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < ROUND_SECONDS:
        step()
        calls += 1
    return passed / calls


def measure(prepared: dict[str, Engine], batch: int, rounds: int) -> dict[str, float]:
    """Return steps per second of each engine, the median over `rounds` rounds in which each has one turn."""
    ids = torch.randint(VOCABULARY, (batch,), generator=torch.Generator().manual_seed(1))
    steps = {name: engine(ids) for name, engine in prepared.items()}
    for step in steps.values():
        step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            seconds[name].append(seconds_per_call(step))
    return {name: batch / statistics.median(values) for name, values in seconds.items()}


def table(rates: dict[int, dict[str, float]]) -> str:
    """Return the rates as a table, each with its ratio to the baseline of its engine."""
    head = "".join(f" B={batch} |" for batch in rates)
    lines = [f"| engine | judged by |{head}", "|---|---|" + "---|" * len(rates)]
    for name in next(iter(rates.values())):
        baseline = baseline_of(name, rates)
        cells = [_cell(row[name], row.get(baseline)) for row in rates.values()]
        lines.append(f"| {name} | {baseline} |{''.join(cells)}")
    return "\n".join(lines)


def baseline_of(name: str, rates: dict[int, dict[str, float]]) -> str:
    """Return the engine that `name` is compared with."""
    if name.startswith("ours") and name != OURS:
        return OURS
    return ONNX if name == OURS and ONNX in next(iter(rates.values())) else EAGER


def _cell(rate: float, baseline: float | None) -> str:
    return f" {rate:,.0f} |" if baseline is None else f" {rate:,.0f} ({rate / baseline:.2f}) |"


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 64, 256])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    all_engines = dict(engines())
    rates = {batch: measure(all_engines, batch, arguments.rounds) for batch in arguments.batches}
    print(f"Steps per second, one thread, {torch.backends.cpu.get_cpu_capability()}; in brackets the ratio.\n")
    print(table(rates))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"torch": torch.__version__, "steps_per_second": rates}, indent=2) + "\n")


if __name__ == "__main__":
    main()
