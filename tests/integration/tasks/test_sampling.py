"""Tokens are drawn as often as their probabilities say."""

import pytest
import torch

from service.tasks.sampling import Sampler
from service.types import GenerateOptions

LOGITS = torch.tensor([1.0, 3.0, -torch.inf, 2.0, 3.0, 0.0])
FORBIDDEN = [4]
DRAWS = 20_000


def softmax(values: dict[int, float]) -> list[float]:
    weights = torch.tensor([values.get(at, -torch.inf) for at in range(len(LOGITS))]).softmax(0)
    return weights.tolist()


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
    drawn = torch.tensor([sampler.choose(LOGITS, FORBIDDEN) for _ in range(DRAWS)])
    found = (torch.bincount(drawn, minlength=len(LOGITS)) / DRAWS).tolist()
    assert found == pytest.approx(expected, abs=0.015)
    assert all(share > 0 or probability < 1e-3 for share, probability in zip(found, expected, strict=True))
    assert all(probability > 0 or share == 0 for share, probability in zip(found, expected, strict=True))


def test_temperature_zero_takes_the_first_of_the_most_probable() -> None:
    assert Sampler(GenerateOptions(temperature=0)).choose(LOGITS, []) == 1
