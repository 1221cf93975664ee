"""Tokens are drawn with their probabilities, within top-k and nucleus."""

import numpy as np
import pytest

from service.domain.operations import GenerateOptions
from service.tasks.next_word.sampling import Logits, Sampler, draw_plain_tokens, draw_tokens, most_probable_tokens

LOGITS = np.array([1.0, 3.0, -np.inf, 2.0, 3.0, 0.0], dtype=np.float32)
FORBIDDEN, NONE_FORBIDDEN = np.array([4]), np.array([], dtype=np.int64)
DRAWS = 20_000


def choose(sampler: Sampler, logits: Logits, forbidden: np.ndarray = NONE_FORBIDDEN) -> int:
    row = logits[None].copy()
    (index,) = most_probable_tokens(row, forbidden) if sampler.greedy else draw_tokens([sampler], row, forbidden)
    sampler.advance()
    return index


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
    drawn = np.array([choose(sampler, LOGITS, FORBIDDEN) for _ in range(DRAWS)])
    frequencies = (np.bincount(drawn, minlength=len(LOGITS)) / DRAWS).tolist()
    assert frequencies == pytest.approx(expected, abs=0.015)
    pairs = [*zip(frequencies, expected, strict=True)]
    assert all(frequency > 0 or probability < 1e-3 for frequency, probability in pairs)
    assert all(probability > 0 or frequency == 0 for frequency, probability in pairs)


def test_temperature_zero_chooses_the_first_of_the_most_probable_tokens() -> None:
    assert choose(Sampler(GenerateOptions(temperature=0)), LOGITS) == 1


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
    assert {choose(sampler, np.zeros(350, dtype=np.float32)) for _ in range(DRAWS)} == possible


@pytest.mark.parametrize("index", [0, 99, 100, 250])
def test_a_single_possible_token_is_drawn_at_every_index(index: int) -> None:
    logits = np.full(251, -np.inf, dtype=np.float32)
    logits[index] = -30.0
    sampler = Sampler(GenerateOptions(seed=1))
    assert {choose(sampler, logits) for _ in range(100)} == {index}


@pytest.mark.parametrize("options", [{}, {"temperature": 0}, {"top_k": 2}, {"top_p": 0.5}])
def test_logits_of_nan_still_give_an_id_of_the_vocabulary(options: dict[str, float]) -> None:
    sampler = Sampler(GenerateOptions(seed=1, **options))  # type: ignore[arg-type]
    assert 0 <= choose(sampler, np.full(251, np.nan, dtype=np.float32)) < 251


OPTIONS: list[dict[str, float]] = [{}, {"temperature": 0.7}, {"top_k": 5}, {"top_p": 0.9}, {"top_k": 1234}]


def samplers() -> list[Sampler]:
    return [Sampler(GenerateOptions(seed=seed, **options)) for seed, options in enumerate(OPTIONS)]  # type: ignore[arg-type]


def random_logits() -> Logits:
    return (3 * np.random.default_rng(1).standard_normal((len(OPTIONS), 1234))).astype(np.float32)


def test_a_token_does_not_depend_on_the_other_rows() -> None:
    together, alone = samplers(), samplers()
    for logits in (random_logits() + shift for shift in range(10)):
        ids = draw_tokens(together, logits.copy(), FORBIDDEN)
        for sampler in together:
            sampler.advance()
        assert ids == [choose(sampler, own, FORBIDDEN) for sampler, own in zip(alone, logits, strict=True)]


@pytest.mark.parametrize("forbidden_logit", [-np.inf, 0.0, 500.0])
def test_plain_samplers_choose_the_same_tokens_and_give_the_normalisers_of_all_logits(forbidden_logit: float) -> None:
    plain, logits = [sampler for sampler in samplers() if sampler.is_plain(1234)], random_logits()[:2]
    logits[:, FORBIDDEN] = forbidden_logit
    ids, normalisers = draw_plain_tokens(plain, logits.copy(), FORBIDDEN)
    assert ids == draw_tokens(plain, logits.copy(), FORBIDDEN)
    exact = np.logaddexp.reduce(logits.astype(np.float64), axis=1)
    np.testing.assert_allclose(normalisers, exact, rtol=1e-6)
