"""Tokens are drawn as often as their probabilities say."""

import numpy as np
import pytest

from service.domain.operations import GenerateOptions
from service.tasks.next_word.sampling import Sampler

LOGITS = np.array([1.0, 3.0, -np.inf, 2.0, 3.0, 0.0], dtype=np.float32)
FORBIDDEN, NOTHING = np.array([4]), np.array([], dtype=np.int64)
DRAWS = 20_000


def softmax(values: dict[int, float]) -> list[float]:
    weights = np.exp([values.get(at, -np.inf) for at in range(len(LOGITS))])
    found: list[float] = (weights / weights.sum()).tolist()
    return found


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
def test_tokens_come_as_often_as_they_are_probable(options: dict[str, float], expected: list[float]) -> None:
    sampler = Sampler(GenerateOptions(seed=1, **options))  # type: ignore[arg-type]
    drawn = np.array([sampler.choose(LOGITS, FORBIDDEN) for _ in range(DRAWS)])
    found = (np.bincount(drawn, minlength=len(LOGITS)) / DRAWS).tolist()
    assert found == pytest.approx(expected, abs=0.015)
    assert all(share > 0 or probability < 1e-3 for share, probability in zip(found, expected, strict=True))
    assert all(probability > 0 or share == 0 for share, probability in zip(found, expected, strict=True))


def test_temperature_zero_takes_the_first_of_the_most_probable() -> None:
    assert Sampler(GenerateOptions(temperature=0)).choose(LOGITS, NOTHING) == 1


@pytest.mark.parametrize(
    ("options", "possible"),
    [
        ({"top_k": 2}, {0, 1}),
        ({"top_k": 300}, set(range(300))),
        ({"top_p": 0.4}, set(range(140))),
        ({}, set(range(350))),
    ],
)
def test_of_equals_the_first_are_in_and_all_of_them_are_drawn(options: dict[str, float], possible: set[int]) -> None:
    sampler = Sampler(GenerateOptions(seed=1, **options))  # type: ignore[arg-type]
    assert {sampler.choose(np.zeros(350, dtype=np.float32), NOTHING) for _ in range(DRAWS)} == possible


@pytest.mark.parametrize("place", [0, 99, 100, 250])
def test_what_alone_is_possible_is_drawn_wherever_it_stands(place: int) -> None:
    logits = np.full(251, -np.inf, dtype=np.float32)
    logits[place] = -30.0
    sampler = Sampler(GenerateOptions(seed=1))
    assert {sampler.choose(logits, NOTHING) for _ in range(100)} == {place}


@pytest.mark.parametrize("options", [{}, {"temperature": 0}, {"top_k": 2}, {"top_p": 0.5}])
def test_from_no_numbers_comes_an_id_all_the_same(options: dict[str, float]) -> None:
    sampler = Sampler(GenerateOptions(seed=1, **options))  # type: ignore[arg-type]
    assert 0 <= sampler.choose(np.full(251, np.nan, dtype=np.float32), NOTHING) < 251
