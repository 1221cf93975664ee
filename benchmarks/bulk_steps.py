"""Steps of 64 sessions in one request over one connection, against the bare forward loop over 64 rows.

    python -m benchmarks.bulk_steps [--quick] [--json FILE]

One worker with its store serves REF-LM. `POST /v1/sessions/steps` and the loop take turns, each on one thread.
"""

import http.client
import json
import statistics
import time
from pathlib import Path

import torch

from benchmarks import ours
from benchmarks.generations import measure_loop
from benchmarks.program import run_program
from service.model_folder.loader import read_checkpoint
from service.nets.models.language_model import LanguageModel
from service.tasks.architectures import ARCHITECTURES

BATCH = 64


class BulkClient:
    """Client that advances the same sessions by one step in each request, over one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        # The path of a session's steps is /v1/sessions/ID/steps.
        self._ids = [session.path.split("/")[3] for session in ours.open_sessions(port, BATCH)]
        self._step = 0

    def advance(self) -> None:
        """Send one request. Raises RuntimeError if a step was not applied."""
        words = [1 + (31 * row + 7919 * self._step) % 9999 for row in range(BATCH)]
        common = {"options": {"top_k": 5}, "step": self._step}
        steps = [
            {"session_id": session, "input": {"ids": [word]}, **common}
            for session, word in zip(self._ids, words, strict=True)
        ]
        body = json.dumps({"steps": steps})
        self._connection.request("POST", "/v1/sessions/steps", body, {"Content-Type": "application/json"})
        answer = json.loads(self._connection.getresponse().read())
        if not all("output" in result for result in answer.get("results", [{}])):
            raise RuntimeError(f"a step was not applied: {json.dumps(answer)[:300]}")
        self._step += 1


def measure_service(client: BulkClient, requests: int) -> float:
    """Return the session steps per second of this many requests."""
    started = time.perf_counter()
    for _ in range(requests):
        client.advance()
    return BATCH * requests / (time.perf_counter() - started)


def measure(model: Path, rounds: int, requests: int) -> dict[str, float]:
    """Measure service and loop in turns. Return the medians of the rates and their ratio."""
    torch.set_num_threads(1)
    network = read_checkpoint(model, ARCHITECTURES).network
    assert isinstance(network, LanguageModel)
    service, loop = [], []
    with ours.service(1, model.parent.parent) as running:
        client = BulkClient(running.port)
        measure_service(client, 10)
        measure_loop(network, 10)
        for _ in range(rounds):
            service.append(measure_service(client, requests))
            loop.append(measure_loop(network, requests))
    rates = statistics.median(service), statistics.median(loop)
    return {"steps_per_second": rates[0], "loop_steps_per_second": rates[1], "of_loop": rates[0] / rates[1]}


def main() -> None:
    run_program(__doc__, lambda model, quick: measure(model, *((3, 20) if quick else (7, 100))))


if __name__ == "__main__":
    main()
