"""Small translators for tests, and the trainer's own log-probabilities as an oracle."""

import json
from pathlib import Path
from typing import Any

import torch

from service.domain.operations import Operation, Outcome
from service.engine.runner import run_operation
from service.tasks.architectures import load_task
from service.tasks.limits import TextLimits
from service.tasks.translation.task import TranslationTask
from tests.translation_folders import MARKS, make_translation_trainer, write_encoder_decoder
from tests.translation_requests import accept_request, completion_options, translate_options, translate_request

BEGIN, END = 1, 2
WORDS = ([*MARKS, "x", "y"], [*MARKS, *"abcdefghij"])
SENTENCES = "I am hungry. Where is Tom? I don't know."


def make_task(root: Path, **settings: Any) -> TranslationTask:
    return load_task(write_encoder_decoder(root, **settings), TextLimits(200, 60, 40))[1]


def run(task: TranslationTask, operation: Operation, state: bytes | None = None) -> Outcome:
    return run_operation(task, operation, task.initial_state if state is None else task.state_codec.from_bytes(state))


def translate(task: TranslationTask, text: str, **options: Any) -> Any:
    return run(task, translate_request(text, translate_options(**options))).output["translations"]


def accept(task: TranslationTask, state: bytes, text: str | None, **options: Any) -> Any:
    return run(task, accept_request(text, completion_options(**options)), state)


class Oracle:
    """The trainer's own log-probabilities for one source."""

    def __init__(self, folder: Path, source: list[int], seed: int = 0) -> None:
        self.trainer = make_translation_trainer(json.loads((folder / "config.json").read_text()), seed)
        self.source = torch.tensor([source])

    def logprobs(self, prefix: tuple[int, ...]) -> list[float]:
        with torch.no_grad():
            logits = self.trainer(self.source, torch.tensor([[BEGIN, *prefix]]))["outputs.logits"]
        return logits[0, -1].log_softmax(-1).tolist()

    def total(self, pieces: tuple[int, ...]) -> float:
        return sum(self.logprobs(pieces[:position])[piece] for position, piece in enumerate(pieces))

    def beam(self, size: int, limit: int) -> tuple[float, tuple[int, ...]]:
        """Run a plain beam search and return the best score and its pieces."""
        beam: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
        ended: list[tuple[float, tuple[int, ...]]] = []
        for _ in range(limit):
            longer = []
            for total, prefix in beam:
                for piece, logprob in enumerate(self.logprobs(prefix)):
                    if piece not in (0, BEGIN) and (piece != END or prefix):
                        longer.append((total + logprob, (*prefix, piece)))
            best = sorted(longer, reverse=True)[: 2 * size]
            finished = [(total / len(pieces), pieces) for total, pieces in best[:size] if pieces[-1] == END]
            ended += finished[: size - len(ended)]
            beam = [(total, pieces) for total, pieces in best if pieces[-1] != END][:size]
            if len(ended) >= size:
                break
        return max(ended or [(total / len(pieces), pieces) for total, pieces in beam])
