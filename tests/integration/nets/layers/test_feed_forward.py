"""Feed-forward layers of a head against torch.nn."""

from typing import Any

import pytest
import torch

from service.domain.operations import ComputeDtype
from service.nets.config.feed_forward import FeedForwardConfig
from service.nets.layers.feed_forward import FeedForward
from service.nets.layers.packed_linear import pack_all
from tests.folders import ACTIVATIONS, feed_forward_tensors, make_feed_forward, run_feed_forward

WIDTH = 13
CASES: list[list[dict[str, Any]]] = [
    *([{"activation": name}] for name in ACTIVATIONS),
    *([{"activation": name, "alpha": 0.3}] for name in ("elu", "leaky_relu")),
    [{"layer_norm": True}],
    [{"layer_norm": True, "eps": 0.01, "activation": "relu"}],
    [{"batch_norm": True}],
    [{"size": 7}, {"batch_norm": True, "eps": 0.001}, {"activation": "relu"}, {"size": 9, "activation": "tanh"}],
]


def load(entries: list[dict[str, Any]], dtype: ComputeDtype = "float32") -> tuple[FeedForward, torch.nn.ModuleList]:
    torch.manual_seed(3)
    trained, _ = make_feed_forward(WIDTH, entries)
    layers = FeedForward(WIDTH, [FeedForwardConfig.model_validate(entry) for entry in entries])
    layers.load_state_dict({name[2:]: tensor for name, tensor in feed_forward_tensors("x", trained).items()})
    layers.requires_grad_(False)
    pack_all(layers, dtype)
    return layers, trained


@pytest.mark.parametrize("entries", CASES, ids=str)
@torch.inference_mode()
def test_layers_compute_what_torch_computes(entries: list[dict[str, Any]]) -> None:
    layers, trained = load(entries)
    x = 3 * torch.randn(4, 5, WIDTH, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(layers(x), run_feed_forward(trained, entries, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("entries", CASES, ids=str)
@torch.inference_mode()
def test_no_result_depends_on_other_rows_by_one_bit(entries: list[dict[str, Any]]) -> None:
    layers, _ = load(entries, "int8")
    x = 3 * torch.randn(37, WIDTH, generator=torch.Generator().manual_seed(1))
    assert torch.equal(layers(x), torch.cat([layers(row[None]) for row in x]))
