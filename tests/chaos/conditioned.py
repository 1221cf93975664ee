"""Small language models with random weights whose sequences begin with a vector, one for each way to read it."""

import random
from pathlib import Path

from tests.folders import WORDS
from tests.vector_folders import SIZE, write_captions, write_melodies

#: The vector gives the initial state, or is the first input.
BY_STATE, BY_INPUT = "melodies", "captions"
NAMES = (BY_STATE, BY_INPUT)
FED_WORDS = tuple(word for word in WORDS if word.isalpha())


def write_conditioned(models: Path) -> None:
    """Write the model folders."""
    write_melodies(models, BY_STATE)
    write_captions(models, BY_INPUT)


def choose_vector(luck: random.Random) -> list[float]:
    """A vector that a sequence begins with."""
    return [round(luck.uniform(-2, 2), 2) for _ in range(SIZE)]
