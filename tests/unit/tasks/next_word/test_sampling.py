"""Tokens are drawn with their probabilities, within top-k and nucleus."""

import numpy as np
import pytest

from service.domain.operations import GenerateOptions
from service.tasks.next_word.sampling import Sampler

LOGITS = np.array([1.0, 3.0, -np.inf, 2.0, 3.0, 0.0], dtype=np.float32)
FORBIDDEN, NONE_FORBIDDEN = np.array([4]), np.array([], dtype=np.int64)
DRAWS = 20_000


def softmax(values: dict[int, float]) -> list[float]:
    weights = np.exp([values.get(index, -np.inf) for index in range(len(LOGITS))])
    probabilities: list[float] = (weights / weights.sum()).tolist()
    return probabilities


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, softmax({0: 1, 1: 3, 3: 2, 5: 0})),
        ({"temperature": 2.0}, softmax({0: 0.5, 1: 1.5, 3: 1, 5: 0})),
        ({"top_k": 2}, softmax({1: 3, 3: 2})),
        ({"top_k": 100}, softmax({0: 1, 1: 3, 3: 2, 5: 0})),
        # The nucleus ends with the token that reaches it: 0.64 + 0.24 passes 0.7.
        ({"top_p": 0.7}, softmax({1: 3, 3: 2})),
        ({"top_p": 0.7, "top_k": 1}, softmax({1: 3})),
        ({"top_p": 1e-300}, softmax({1: 3})),
        ({"temperature": 1e-300}, softmax({1: 3})),
    ],
)
def test_the_frequency_of_a_token_is_its_probability(options: dict[str, float], expected: list[float]) -> None:
    sampler = Sampler(GenerateOptions(seed=1, **options))  # type: ignore[arg-type]
    drawn = np.array([sampler.choose(LOGITS, FORBIDDEN) for _ in range(DRAWS)])
    frequencies = (np.bincount(drawn, minlength=len(LOGITS)) / DRAWS).tolist()
    assert frequencies == pytest.approx(expected, abs=0.015)
    pairs = [*zip(frequencies, expected, strict=True)]
    assert all(frequency > 0 or probability < 1e-3 for frequency, probability in pairs)
    assert all(probability > 0 or frequency == 0 for frequency, probability in pairs)


def test_temperature_zero_chooses_the_first_of_the_most_probable_tokens() -> None:
    assert Sampler(GenerateOptions(temperature=0)).choose(LOGITS, NONE_FORBIDDEN) == 1


@pytest.mark.parametrize(
    ("options", "possible"),
    [
        ({"top_k": 2}, {0, 1}),
        ({"top_k": 300}, set(range(300))),
        ({"top_p": 0.4}, set(range(140))),
        ({}, set(range(350))),
    ],
)
def test_of_equally_probable_tokens_the_first_are_kept_and_all_of_these_are_drawn(
    options: dict[str, float], possible: set[int]
) -> None:
    sampler = Sampler(GenerateOptions(seed=1, **options))  # type: ignore[arg-type]
    assert {sampler.choose(np.zeros(350, dtype=np.float32), NONE_FORBIDDEN) for _ in range(DRAWS)} == possible


@pytest.mark.parametrize("index", [0, 99, 100, 250])
def test_a_single_possible_token_is_drawn_at_every_index(index: int) -> None:
    logits = np.full(251, -np.inf, dtype=np.float32)
    logits[index] = -30.0
    sampler = Sampler(GenerateOptions(seed=1))
    assert {sampler.choose(logits, NONE_FORBIDDEN) for _ in range(100)} == {index}


@pytest.mark.parametrize("options", [{}, {"temperature": 0}, {"top_k": 2}, {"top_p": 0.5}])
def test_logits_of_nan_still_give_an_id_of_the_vocabulary(options: dict[str, float]) -> None:
    sampler = Sampler(GenerateOptions(seed=1, **options))  # type: ignore[arg-type]
    assert 0 <= sampler.choose(np.full(251, np.nan, dtype=np.float32), NONE_FORBIDDEN) < 251
