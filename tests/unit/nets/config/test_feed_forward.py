"""Entries of a head: which are valid, and what they do to the width."""

from typing import Any

import pytest
from pydantic import ValidationError

from service.nets.config.feed_forward import FeedForwardConfig, output_width


def entry(**fields: Any) -> FeedForwardConfig:
    return FeedForwardConfig.model_validate(fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "a size, an activation, layer_norm or batch_norm"),
        ({"layer_norm": False}, "a size, an activation, layer_norm or batch_norm"),
        ({"size": 3, "layer_norm": True}, "one of size, layer_norm and batch_norm"),
        ({"layer_norm": True, "batch_norm": True}, "one of size, layer_norm and batch_norm"),
        ({"activation": "relu", "alpha": 0.1}, "alpha only with an activation of leaky_relu and elu"),
        ({"size": 3, "eps": 0.1}, "eps only with layer_norm or batch_norm"),
        ({"activation": "softmax"}, "Input should be 'none', 'linear', 'tanh'"),
        ({"batch_norm": True, "eps": 0.0}, "greater than 0"),
    ],
)
def test_an_entry_that_says_nothing_or_too_much_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        entry(**fields)


def test_only_linear_layers_change_the_width() -> None:
    layers = [entry(activation="relu"), entry(size=3), entry(batch_norm=True)]
    assert output_width(layers, 8) == 3
    assert output_width(layers[:1], 8) == 8
