"""What a next-word model loses on given text, computed as a server would."""

import math
from pathlib import Path

import torch

from service.errors import InvalidRequest, ModelFolderError
from service.tasks.next_word import NextWord
from service.types import Outcome, Score, TextInput

#: Lines that share the forward passes.
BATCH = 64


@torch.inference_mode()
def perplexity_of(task: NextWord, data: Path) -> float:
    """Return the perplexity of a UTF-8 file, each line on its own. Raises ModelFolderError for what cannot be read."""
    try:
        lines = [line for line in data.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFolderError(f"{data}: cannot be read: {error}; expected text, a sentence a line") from error
    total, count = 0.0, 0
    for start in range(0, len(lines), BATCH):
        for logprobs in _score(task, lines[start : start + BATCH], data):
            total, count = total - math.fsum(logprobs), count + len(logprobs)
    if not count:
        raise ModelFolderError(f"{data}: found no words, expected text, a sentence a line")
    return math.exp(total / count)


def _score(task: NextWord, lines: list[str], data: Path) -> list[list[float]]:
    """Return the log-probabilities of each line's words."""
    try:
        sequences = [task.start(Score(TextInput(text=line)), task.initial_state) for line in lines]
    except InvalidRequest as error:
        raise ModelFolderError(f"{data}: {error}") from error
    while waiting := [sequence for sequence in sequences if not sequence.finished]:
        for sequence, row in zip(waiting, task.forward(waiting), strict=True):
            sequence.receive(row)
    return [_logprobs(sequence.outcome(b"")) for sequence in sequences]


def _logprobs(outcome: Outcome) -> list[float]:
    found = outcome.output["logprobs"]
    return [float(one) for one in found if isinstance(one, float)] if isinstance(found, list) else []
