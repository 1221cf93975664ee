"""Networks that read windows, against torch.nn over each window by itself, in batches of windows of any length."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.model_folder.safetensors_io import write_tensor_file
from service.nets.layers.rnn_stack import State
from service.nets.models import window
from service.nets.models.window import fill_window, unroll
from service.nets.models.windowed_forecaster import WindowedForecaster
from service.nets.models.windowed_language_model import WindowedLanguageModel
from tests.folders import WORDS, make_trainer, write_language_model
from tests.forecast_folders import write_forecaster
from tests.registered import read_checkpoint
from tests.rounding import assert_rounded

PAD = "the"
SETTINGS: list[dict[str, Any]] = [
    {"window": 1},
    {"window": 4, "cell": "gru", "layer_norm": True},
    {"window": 40, "head": [{"size": 9, "activation": "tanh"}]},
    {"padding": {"side": "left", "token": PAD, "length": 6}},
    {"padding": {"side": "right", "token": PAD, "length": 6}, "cell": "gru"},
]
#: The longest sum of products, and how many of them are behind a number.
TERMS, PASSES = 16 + 16 + 2, 40 * 2 + 4
IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2], [9, 2, 6, 5, 3, 5, 8], [7, 7, 1, 8, 2, 8, 1]])


def load(root: Path, **settings: Any) -> WindowedLanguageModel:
    return read_checkpoint(write_language_model(root, **settings)).network


def initial(network: WindowedLanguageModel, batch: int) -> State:
    state = network.initial_recurrent_state(batch)
    return fill_window(state, WORDS.index(PAD)) if network.config.padding else state


def expected_logits(network: WindowedLanguageModel, ids: Tensor) -> Tensor:
    return make_trainer(network.config.model_dump(exclude_none=True))(ids)[0]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@torch.inference_mode()
def test_each_position_has_the_logits_of_its_own_window(tmp_path: Path, settings: dict[str, Any]) -> None:
    network = load(tmp_path, **settings)
    features, _ = network.sequence(IDS, initial(network, 3))
    assert_rounded(network.logits(features), expected_logits(network, IDS), TERMS, PASSES)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@torch.inference_mode()
def test_windows_of_any_lengths_share_a_pass(tmp_path: Path, settings: dict[str, Any]) -> None:
    network = load(tmp_path, **settings)
    counts = [2, 7, 4]
    states = [initial(network, 1)] * 3
    for index, count in enumerate(counts):
        states[index] = network.sequence(IDS[index : index + 1, : count - 1], states[index])[1]
    together = {name: torch.cat([state[name] for state in states]) for name in states[0]}
    last = torch.stack([IDS[index, count - 1] for index, count in enumerate(counts)])
    features, _ = network.step(last, together)
    for index, count in enumerate(counts):
        expected = expected_logits(network, IDS[index : index + 1, :count])[:, -1]
        assert_rounded(network.logits(features[index : index + 1]), expected, TERMS, PASSES)


@torch.inference_mode()
def test_the_recurrent_state_is_that_after_the_window(tmp_path: Path) -> None:
    network = load(tmp_path, window=3)
    state = network.sequence(IDS, initial(network, 3))[1]
    _, expected = make_trainer(network.config.model_dump(exclude_none=True))(IDS)
    for name, tensor in network.recurrent_state(state).items():
        assert_rounded(tensor, expected[name], TERMS, PASSES)


@torch.inference_mode()
def test_many_windows_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = load(tmp_path, window=4)
    whole, _ = network.sequence(IDS, initial(network, 3))
    monkeypatch.setattr(window, "MAX_ROWS", 8)
    parts, _ = network.sequence(IDS, initial(network, 3))
    assert_rounded(parts, whole, TERMS, PASSES)


def test_the_states_before_each_input_are_those_of_steps() -> None:
    state = {"window": torch.tensor([[0.0, 0.0, 1.0], [2.0, 3.0, 4.0]]), "inputs": torch.tensor([[1.0], [3.0]])}
    before = unroll(state, torch.tensor([[5], [6], [7], [8]]), [3, 1])
    windows = [[0, 0, 1], [0, 1, 5], [1, 5, 6], [2, 3, 4]]
    assert before["window"].tolist() == windows
    assert before["inputs"].flatten().tolist() == [1, 2, 3, 3]


@torch.inference_mode()
def test_a_forecaster_reads_the_last_rows_alone(tmp_path: Path) -> None:
    network: WindowedForecaster = read_checkpoint(write_forecaster(tmp_path, window=3)).network
    x = torch.randn(2, 8, 1)
    whole = network.sequence(x, network.initial_state(2))
    recent = network.sequence(x[:, -3:], network.initial_state(2))
    stepped = network.initial_state(2)
    for row in x.unbind(1):
        stepped = network.step(row, stepped)
    for name in whole:
        assert_rounded(whole[name], recent[name], TERMS, PASSES)
        assert_rounded(stepped[name], recent[name], TERMS, PASSES)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"window": 3}, {"window": None}),
        ({"window": 3}, {"window": 4}),
        ({"padding": {"side": "left", "token": PAD, "length": 9}}, {"padding": None, "window": 9}),
        (
            {"padding": {"side": "left", "token": PAD, "length": 9}},
            {"padding": {"side": "right", "token": PAD, "length": 9}},
        ),
        (
            {"padding": {"side": "right", "token": PAD, "length": 9}},
            {"padding": {"side": "right", "token": "a", "length": 9}},
        ),
    ],
    ids=str,
)
def test_golden_vectors_refuse_another_window(tmp_path: Path, settings: dict[str, Any], wrong: dict[str, Any]) -> None:
    right = write_language_model(tmp_path, "right", **settings)
    assert read_checkpoint(right).verified
    other = write_language_model(tmp_path, "other", golden=False, **{**settings, **wrong})
    (other / "golden.safetensors").write_bytes((right / "golden.safetensors").read_bytes())
    with pytest.raises(ModelFolderError, match=r"found a difference .* window and padding"):
        read_checkpoint(other)


@pytest.mark.parametrize("wrong", [None, 4, 2])
def test_golden_vectors_of_a_forecaster_refuse_another_window(tmp_path: Path, wrong: int | None) -> None:
    right = write_forecaster(tmp_path, "right", window=3)
    assert read_checkpoint(right).verified
    other = write_forecaster(tmp_path, "other", golden=False, window=wrong)
    (other / "golden.safetensors").write_bytes((right / "golden.safetensors").read_bytes())
    with pytest.raises(ModelFolderError, match=r"found a difference"):
        read_checkpoint(other)


def test_golden_vectors_of_windows_may_have_the_logits_of_the_last_one_alone(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path, golden=False, padding={"side": "left", "token": PAD, "length": 9})
    config = read_checkpoint(folder).config.model_dump(exclude_none=True)
    with torch.no_grad():
        logits = make_trainer(config)(IDS)[0][:, -1].contiguous()
    write_tensor_file(folder / "golden.safetensors", {"inputs.ids": IDS, "outputs.logits": logits})
    assert read_checkpoint(folder).verified
    write_tensor_file(folder / "golden.safetensors", {"inputs.ids": IDS, "outputs.logits": logits + 0.01})
    with pytest.raises(ModelFolderError, match=r"outputs.logits: found a difference"):
        read_checkpoint(folder)


def test_golden_vectors_of_too_many_windows_are_refused(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path, golden=False, window=1000)
    ids = torch.zeros(1, 2200, dtype=torch.int64)
    write_tensor_file(folder / "golden.safetensors", {"inputs.ids": ids, "outputs.logits": torch.zeros(1, len(WORDS))})
    with pytest.raises(ModelFolderError, match=r"up to 2200 timesteps, each .* a window of 1000 inputs, expected at"):
        read_checkpoint(folder)


def test_a_padding_token_outside_of_the_vocabulary_is_refused(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path, golden=False, padding={"side": "left", "token": "THE", "length": 4})
    with pytest.raises(ModelFolderError, match=r"config.json: padding.token: found 'THE', expected a token of the voc"):
        read_checkpoint(folder)
