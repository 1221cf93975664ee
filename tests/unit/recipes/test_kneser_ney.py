"""The n-gram baseline is a probability distribution, and the one that its authors describe."""

import random

import numpy as np
import pytest

from models.recipes.kneser_ney import KneserNey

BOUNDARY, WORDS = 1, 12


def documents(count: int = 300) -> list[list[int]]:
    generator = random.Random(3)
    return [
        [min(WORDS - 1, 2 + int(generator.expovariate(0.4))) for _ in range(generator.randint(1, 9))]
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def model() -> KneserNey:
    return KneserNey(documents(), WORDS, BOUNDARY)


@pytest.mark.parametrize("context", [[], [1], [1, 2], [1, 2, 3, 2, 4], [1, 11, 11, 11, 11], [0, 0, 0, 0]])
def test_probabilities_after_any_context_are_positive_and_sum_to_one(model: KneserNey, context: list[int]) -> None:
    probabilities = model.distribution(context)
    assert probabilities.min() > 0
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-5)


def test_a_context_further_back_than_the_order_changes_nothing(model: KneserNey) -> None:
    near = [2, 3, 2, 4]
    assert np.array_equal(model.distribution([1, *near]), model.distribution([1, 5, *near]))


def test_lower_orders_count_distinct_neighbours_not_occurrences() -> None:
    # 4 stands often but always behind 3; 5 stands seldom, behind four different words.
    texts = [[3, 4]] * 20 + [[2, 5], [3, 5], [6, 5], [7, 5], [2, 6], [3, 7], [6, 2], [7, 2, 3], [6, 6], [7, 7, 2, 2]]
    unigram = KneserNey(texts, 8, BOUNDARY, order=2).unigram
    assert unigram[5] > unigram[4]


def test_it_beats_a_uniform_guess_on_text_of_the_same_kind(model: KneserNey) -> None:
    held_out = documents(400)[300:]
    logprobs = [
        np.log(model.distribution([BOUNDARY, *text[:at]])[word]) for text in held_out for at, word in enumerate(text)
    ]
    assert float(np.mean(logprobs)) > np.log(1 / WORDS) + 0.3
