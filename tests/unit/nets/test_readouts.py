"""Readouts of streams equal those of whole sequences, for any numbers."""

import pytest
import torch
from torch import Tensor

from service.nets.layers.crf import Crf
from service.nets.layers.packed_linear import pack_all
from service.nets.layers.readout import make_readout

STATES = {
    "last": ["output"],
    "mean": ["sum"],
    "max": ["maximum"],
    "attention": ["max_score", "weight_sum", "weighted_sum"],
}


def streamed(kind: str, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """The readout of the outputs (T, O), timestep by timestep and at once."""
    torch.manual_seed(2)
    readout = make_readout(kind, outputs.shape[1], "output", None)
    for parameter in readout.parameters():
        torch.nn.init.normal_(parameter.requires_grad_(False), std=20.0)
    pack_all(readout, "float32")
    widths = {"max_score": 1, "weight_sum": 1}
    state = {name: torch.zeros(1, widths.get(name, outputs.shape[1])) for name in STATES[kind]}
    for count, output in enumerate(outputs.split(1)):
        state = readout.advance(output, state, torch.tensor([[float(count)]]))
        assert all(part.isfinite().all() for part in state.values())
    return readout.value(state, torch.tensor([[float(len(outputs))]])), readout.whole(outputs)


@pytest.mark.parametrize("kind", STATES)
@pytest.mark.parametrize("shift", [0.0, -3.0, 3.0])
def test_a_stream_has_the_readout_of_the_whole(kind: str, shift: float) -> None:
    outputs = torch.randn(300, 7, generator=torch.Generator().manual_seed(1)) + shift
    torch.testing.assert_close(*streamed(kind, outputs), atol=1e-5, rtol=1e-5)


def test_the_scores_of_attention_may_be_far_apart() -> None:
    outputs = torch.tensor([[1e4, 0.0], [-1e4, 1.0], [1e4, 2.0]])
    torch.testing.assert_close(*streamed("attention", outputs))


def test_a_crf_of_one_timestep_adds_its_start_and_end() -> None:
    crf = Crf(3)
    crf.load_state_dict(
        {
            "start_transitions": torch.tensor([0.0, 2.0, 0.0]),
            "end_transitions": torch.tensor([0.0, 0.0, 5.0]),
            "transitions": torch.zeros(3, 3),
        }
    )
    crf.requires_grad_(False).pack("float32")
    logits = torch.tensor([[1.0, 1.0, 1.0]]).double().numpy()
    assert crf.decode(logits) == [2]
    expected = torch.tensor([1.0, 3.0, 6.0]).log_softmax(0).tolist()
    assert crf.marginals(logits)[0].tolist() == pytest.approx(expected, abs=1e-6)
