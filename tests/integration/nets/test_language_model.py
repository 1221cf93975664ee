"""The language model against the one of tests/folders.py, which is made of torch.nn."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from service.domain.operations import ComputeDtype
from service.nets.layers.rnn_stack import State
from service.nets.models.language_model import LanguageModel
from tests.folders import write_language_model
from tests.registered import read_checkpoint
from tests.rounding import assert_rounded, bound, largest_golden

SETTINGS: list[dict[str, Any]] = [
    {},
    {"cell": "gru", "bias": False},
    {"cell": "rnn_relu", "hidden_size": [6, 10]},
    {"tie_weights": True},
    {"proj_size": 5, "tie_weights": True},
    {"input_projection": True, "embedding_size": 6, "input_size": 9},
    {"connection": "residual"},
    {"connection": "highway", "layer_norm": True},
    {"hidden_size": [16, 16, 8], "connection": "residual"},
    {"head": [{"size": 12, "activation": "tanh"}, {"size": 5, "activation": "gelu"}]},
    {"head": [{"size": 16}], "tie_weights": True, "cell": "rnn_tanh"},
    {"head": [{"activation": "relu"}], "tie_weights": True},
    {"head": [{"layer_norm": True}, {"size": 9}, {"batch_norm": True, "activation": "leaky_relu", "alpha": 0.3}]},
]
#: Sizes that are no multiple of what a processor computes at a time.
ODD: list[dict[str, Any]] = [
    {"cell": "gru", "hidden_size": 50},
    {"cell": "rnn_tanh", "hidden_size": 33, "connection": "highway"},
    {"hidden_size": 37, "layer_norm": True},
    {"hidden_size": 37, "head": [{"layer_norm": True, "activation": "silu"}, {"size": 45}, {"batch_norm": True}]},
    {"head": [{"size": 45, "activation": "gelu"}, {"size": 39, "activation": "sigmoid"}]},
]
#: The longest sum of products: the input of a layer, its hidden state and two biases.
TERMS = 16 + 16 + 2
#: What stands before and behind the recurrent layers: a projection of the input, two layers of a head, the output.
AROUND = 4
IDS = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])


def load(root: Path, **settings: object) -> LanguageModel:
    return read_checkpoint(write_language_model(root, **settings)).network


def load_as(root: Path, dtype: ComputeDtype, **settings: Any) -> LanguageModel:
    return read_checkpoint(write_language_model(root, **settings), dtype).network


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@torch.inference_mode()
def test_steps_equal_the_whole_sequence_and_the_trainer(tmp_path: Path, settings: dict[str, Any]) -> None:
    checkpoint = read_checkpoint(write_language_model(tmp_path, **settings))
    assert checkpoint.golden is not None
    network = checkpoint.network
    layers = network.config.num_layers
    assert checkpoint.golden.difference <= bound(largest_golden(checkpoint.path), TERMS, 7 * layers + AROUND)
    passes = IDS.shape[1] * layers + AROUND
    whole, last = network.sequence(IDS, network.initial_recurrent_state(2))
    state = network.initial_recurrent_state(2)
    for time, column in enumerate(IDS.unbind(1)):
        features, state = network.step(column, state)
        assert_rounded(features, whole[:, time], TERMS, passes)
    assert state.keys() == last.keys()
    for name, one in last.items():
        assert_rounded(state[name], one, TERMS, passes, name)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@torch.inference_mode()
def test_features_are_read_off_the_state_that_a_session_stores(tmp_path: Path, settings: dict[str, Any]) -> None:
    network = load(tmp_path, **settings)
    features, state = network.step(IDS[:, 0], network.initial_recurrent_state(2))
    names = [spec.name for spec in network.specs]
    assert names[-1] == "log_normaliser"
    assert ("features" in names) == network.stores_features
    stored = {**state, "features": features, "log_normaliser": torch.zeros(2, 1)}
    assert {spec.name: (2, *spec.shape) for spec in network.specs} == {name: stored[name].shape for name in names}
    assert torch.equal(network.features_of({name: stored[name] for name in names}), features)
    if not network.stores_features:
        assert torch.equal(features, state[f"h_l{network.config.num_layers - 1}"])


def test_features_are_stored_only_where_they_differ_from_the_last_layers_output(tmp_path: Path) -> None:
    stores = [load(tmp_path / str(n), **settings).stores_features for n, settings in enumerate(SETTINGS)]
    assert stores == [False, False, False, False, False, False, True, True, False, True, True, True, True]


@pytest.mark.parametrize("tied", [True, False])
@torch.inference_mode()
def test_the_score_of_a_token_is_its_logit(tmp_path: Path, tied: bool) -> None:
    network = load(tmp_path, tie_weights=tied)
    features = torch.randn(2, 16)
    logits = network.logits(features)
    ids = torch.tensor([7, 0])
    assert_rounded(network.score(ids, features), logits[torch.arange(2), ids], TERMS)
    assert logits.shape == (2, network.config.vocab_size)


@torch.inference_mode()
def test_further_entries_of_the_state_are_ignored_and_nothing_is_changed(tmp_path: Path) -> None:
    network = load(tmp_path, connection="residual")
    state = {**network.initial_recurrent_state(2), "features": torch.ones(2, 16), "log_normaliser": torch.ones(2, 1)}
    kept = {name: one.clone() for name, one in state.items()}
    _, after = network.step(IDS[:, 0], state)
    assert list(after) == ["h_l0", "c_l0", "h_l1", "c_l1"]
    assert all(torch.equal(state[name], kept[name]) for name in kept)


@torch.inference_mode()
def test_state_features_and_logits_are_float32_whatever_the_arithmetic(tmp_path: Path) -> None:
    network = load(tmp_path, dtype="bfloat16", tolerance=0.1)
    features, after = network.step(IDS[:, 0], network.initial_recurrent_state(2))
    found = [features, after["h_l0"], after["c_l0"], network.logits(features), network.score(IDS[:, 1], features)]
    assert {one.dtype for one in found} == {torch.float32}


def test_what_is_left_of_the_parameters_needs_no_gradient(tmp_path: Path) -> None:
    network = load(tmp_path, layer_norm=True)
    assert not network.training
    left = dict(network.named_parameters())
    assert {name.partition(".")[0] for name in left} == {"embedding", "rnn"}
    assert not any(parameter.requires_grad or parameter.is_meta for parameter in left.values())


@pytest.mark.parametrize("settings", [*SETTINGS, *ODD], ids=str)
@torch.inference_mode()
def test_in_int8_a_row_is_the_same_to_the_last_bit_whatever_shares_its_batch(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    network = load_as(tmp_path, "int8", **settings)
    ids = torch.randint(network.config.vocab_size, (33, 3), generator=torch.Generator().manual_seed(1))
    state = network.sequence(ids, network.initial_recurrent_state(33))[1]
    whole = run_both_ways(network, ids, state)
    for rows in (slice(0, 1), slice(4, 6), slice(7, 10), slice(16, 33), slice(32, 33)):
        part = run_both_ways(network, ids[rows], {name: one[rows].clone() for name, one in state.items()})
        assert [name for name, one in part.items() if not torch.equal(one, whole[name][rows])] == []


def run_both_ways(network: LanguageModel, ids: Tensor, state: State) -> State:
    features, after = network.step(ids[:, 0], state)
    whole, last = network.sequence(ids, state)
    logits = network.logits(features)
    return {
        **after,
        **{f"whole {name}": one for name, one in last.items()},
        "features": features,
        "whole": whole,
        "logits": logits,
        "normaliser": logits.logsumexp(-1),
        "score": network.score(ids[:, 1], features),
    }
