"""The bounds of tests/rounding.py tell another network from rounding: whatever is wrong with it exceeds them widely."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.model_folder.safetensors_io import read_tensor_file, write_tensor_file
from service.nets.config.rnn_spec import RnnSpec
from tests.folders import make_trainer, write_golden, write_language_model
from tests.forecast_folders import write_forecaster
from tests.integration.nets import test_encoder_decoder, test_forecaster, test_language_model
from tests.integration.nets.case_ids import case_id
from tests.integration.nets.layers import test_rnn_stack
from tests.integration.nets.layers.test_rnn_stack import (
    HIDDEN,
    INPUT,
    packed_stack,
    random_input,
    random_state,
    random_weights,
    run_steps,
)
from tests.registered import read_checkpoint
from tests.rounding import bound, largest_golden
from tests.translation_folders import write_encoder_decoder

#: How many times a bound is exceeded, at the least.
FAR = 100
Weights = dict[str, Tensor]
Mistake = Callable[[Weights], Weights]


def swap_gates(weights: Weights) -> Weights:
    """As a file has them whose author's order of the last two gates is another, or of a GRU's first two."""

    def swapped(name: str, tensor: Tensor) -> Tensor:
        if not re.search(r"(weight|bias)_[ih]h_l", name):
            return tensor
        if len(tensor) % 4:  # sizes are chosen so that three gates are never a multiple of four rows
            reset, update, new = tensor.chunk(3)
            return torch.cat([update, reset, new])
        i, f, g, o = tensor.chunk(4)
        return torch.cat([i, f, o, g])

    return {name: swapped(name, tensor) for name, tensor in weights.items()}


def leave_out(part: str) -> Mistake:
    return lambda weights: {
        name: torch.zeros_like(tensor) if part in name else tensor for name, tensor in weights.items()
    }


MISTAKES: dict[str, Mistake] = {
    "gates": swap_gates,
    "input bias": leave_out("bias_ih"),
    "hidden bias": leave_out("bias_hh_l0"),
    "output bias": leave_out("output.bias"),
}


@pytest.mark.parametrize("mistake", [name for name in MISTAKES if name != "output bias"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_mistake_in_a_stack_is_far_beyond_rounding(cell: str, mistake: str) -> None:
    layout = RnnSpec(cell, INPUT, (HIDDEN, HIDDEN))
    assert far_off(layout, layout, MISTAKES[mistake]) > FAR


@pytest.mark.parametrize("connection", ["residual", "highway"])
@pytest.mark.parametrize("cell", test_rnn_stack.CELLS)
def test_a_connection_that_is_skipped_is_far_beyond_rounding(cell: str, connection: str) -> None:
    plain = RnnSpec(cell, INPUT, (INPUT, INPUT))
    connected = RnnSpec(cell, INPUT, (INPUT, INPUT), connection=connection)
    assert far_off(connected, plain, lambda weights: {k: one for k, one in weights.items() if "highway" not in k}) > FAR


def test_a_normalisation_that_is_skipped_is_far_beyond_rounding() -> None:
    plain, normal = (RnnSpec("gru", INPUT, (HIDDEN,), layer_norm=one) for one in (False, True))
    assert far_off(normal, plain, lambda weights: {k: one for k, one in weights.items() if "norm" not in k}) > FAR


def far_off(layout: RnnSpec, wrong: RnnSpec, mistake: Mistake) -> float:
    """Return how many times a stack with the mistake exceeds what tests compare stacks with."""
    weights = random_weights(layout)
    stack = packed_stack(layout, weights)
    x, state = random_input(), random_state(stack)
    expected, found = run_steps(stack, x, state)[0], run_steps(packed_stack(wrong, mistake(weights)), x, state)[0]
    passes = test_rnn_stack.TIME * len(layout.hidden_sizes)
    allowed = bound(float(expected.abs().max()), test_rnn_stack.TERMS, passes)
    return float((found - expected).abs().max()) / allowed


LANGUAGE = bound(1.0, test_language_model.TERMS, 7 * 2 + test_language_model.AROUND)
TRANSLATION = bound(1.0, test_encoder_decoder.TERMS, test_encoder_decoder.PASSES)
FORECAST = bound(1.0, test_forecaster.TERMS, test_forecaster.PASSES)
FOLDERS: list[tuple[Callable[..., Path], dict[str, Any], float]] = [
    (write_language_model, {}, LANGUAGE),
    (write_language_model, {"cell": "gru", "hidden_size": 17}, LANGUAGE),
    (write_encoder_decoder, {}, TRANSLATION),
    (
        write_encoder_decoder,
        {"encoder": {"cell": "lstm"}, "decoder": {"cell": "gru", "hidden_size": 13}, "bridge": "linear"},
        TRANSLATION,
    ),
    (write_forecaster, {}, FORECAST),
    (write_forecaster, {"cell": "gru", "hidden_size": 7, "num_layers": 2}, FORECAST),
]


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize(("write", "settings", "allowed"), FOLDERS, ids=case_id)
def test_a_mistake_in_a_network_is_far_beyond_rounding(
    tmp_path: Path, write: Callable[..., Path], settings: dict[str, Any], allowed: float, mistake: str
) -> None:
    folder = write(tmp_path, **settings)
    file = folder / "model.safetensors"
    write_tensor_file(
        file, MISTAKES[mistake]({name: one.tensor() for name, one in read_tensor_file(file).tensors.items()})
    )
    assert refused_difference(folder) > FAR * allowed * max(1.0, largest_golden(folder))


@pytest.mark.parametrize("connection", ["residual", "highway"])
def test_a_connection_that_a_language_model_skips_is_far_beyond_rounding(tmp_path: Path, connection: str) -> None:
    folder = write_language_model(tmp_path)
    fields = json.loads((folder / "config.json").read_bytes())
    write_golden(folder / "golden.safetensors", make_trainer({**fields, "connection": connection}))
    assert refused_difference(folder) > FAR * LANGUAGE * max(1.0, largest_golden(folder))


def refused_difference(folder: Path) -> float:
    """Return how far off the network is that is refused for it."""
    with pytest.raises(ModelFolderError, match="found a difference of") as caught:
        read_checkpoint(folder)
    return float(re.search(r"found a difference of (\S+) at", str(caught.value))[1])  # type: ignore[index]
