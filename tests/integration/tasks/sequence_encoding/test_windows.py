"""Sequence encoders that read windows: sessions of one direction or both answer as torch.nn does over the window."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.domain.errors import ModelFolderError
from service.domain.operations import Predict
from tests.encoder_folders import encoder_fields, write_encoder
from tests.integration.tasks.sequence_encoding.encoder_model import Model, to_input
from tests.integration.tasks.sequence_encoding.test_answers import CUTS, IDS, by_label, in_pieces, inputs_of
from tests.registered import read_checkpoint, with_state

LEFT, RIGHT = ({"side": side, "token": "the", "length": 25} for side in ("left", "right"))
SETTINGS: list[dict[str, Any]] = [
    {"window": 6},
    {"window": 6, "bidirectional": True},
    {"window": 30, "readout": "last_output", "cell": "lstm", "bidirectional": True},
    {"window": 1, "readout": "max"},
    {"window": 7, "readout": "mean", "num_layers": 2, "missing_indicator": True},
    {"window": 5, "readout": "attention", "bidirectional": True},
    {"padding": LEFT},
    {"padding": RIGHT, "readout": "mean"},
    {"padding": {**LEFT, "length": 4}, "bidirectional": True},
]


def make(root: Path, task: str, settings: dict[str, Any], **fields: Any) -> tuple[Model, list[Any]]:
    text = "padding" in settings
    return Model(root, task, text=text, **settings, **fields), inputs_of(text)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_labels_are_those_of_the_last_window_at_any_cut(tmp_path: Path, settings: dict[str, Any]) -> None:
    model, inputs = make(tmp_path, "classification", settings)
    assert model.checkpoint.verified
    for cut in CUTS:
        fed = 0
        for count, output in zip(cut, in_pieces(model, inputs, cut), strict=True):
            fed += count
            assert by_label(output) == pytest.approx(model.trainer.answers(inputs[:fed]).softmax(-1).tolist(), abs=1e-5)


@pytest.mark.parametrize("settings", [{"window": 6}, {"window": 6, "bidirectional": True}], ids=str)
def test_each_timestep_is_answered_over_its_own_window(tmp_path: Path, settings: dict[str, Any]) -> None:
    model, inputs = make(tmp_path, "regression", settings)
    expected = model.trainer.answers(inputs).double().numpy() * [4.0, 0.5] + [10.0, 2.0]
    for cut in CUTS:
        values = [row for output in in_pieces(model, inputs, cut) for row in output["values"]]
        np.testing.assert_allclose(values, expected, atol=4e-5)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_windows_of_any_lengths_share_passes(tmp_path: Path, settings: dict[str, Any]) -> None:
    model, inputs = make(tmp_path, "embedding", settings)
    started = model.feed(inputs[:5]).state
    requests = [(inputs[:3], None), (inputs, None), (inputs[5:9], started), (inputs[:1], None)]
    for outcome, (fed, state) in zip(model.together(requests), requests, strict=True):
        alone = model.feed(fed, state).output["embedding"]
        np.testing.assert_allclose(outcome.output["embedding"], alone, atol=1e-5)


def test_an_answer_without_input_repeats_the_last_one(tmp_path: Path) -> None:
    model = Model(tmp_path, "classification", window=4, bidirectional=True)
    fed = model.feed(IDS)
    assert by_label(model.feed(None, fed.state).output) == pytest.approx(by_label(fed.output), abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"window": 6}, {"window": None}),
        ({"window": 6}, {"window": 5}),
        ({"window": 6, "bidirectional": True}, {"window": None}),
        ({"padding": LEFT}, {"padding": RIGHT}),
        ({"padding": LEFT}, {"padding": None}),
    ],
    ids=str,
)
def test_golden_vectors_refuse_another_window(tmp_path: Path, settings: dict[str, Any], wrong: dict[str, Any]) -> None:
    right = write_encoder(tmp_path, "right", "tagging", **settings)
    assert read_checkpoint(right).verified
    other = write_encoder(tmp_path, "other", "tagging", golden=False, **{**settings, **wrong})
    (other / "golden.safetensors").write_bytes((right / "golden.safetensors").read_bytes())
    with pytest.raises(ModelFolderError, match="found a difference"):
        read_checkpoint(other)


@pytest.mark.parametrize(
    ("task", "text", "settings", "message"),
    [
        ("tagging", True, {"window": 5, "crf": True}, "crf: found true, expected false"),
        ("classification", False, {"padding": LEFT}, "padding: found the, expected null: the network reads numbers"),
        ("classification", True, {"padding": LEFT, "window": 3}, "window: found 3, expected 25, the length of padding"),
    ],
)
def test_a_window_that_cannot_be_is_refused_by_name(
    task: str, text: bool, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelFolderError, match=message):
        with_state(encoder_fields(task, text=text, **settings), "place")


def test_a_padding_token_outside_of_the_vocabulary_is_refused(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path, "model", "classification", golden=False, padding={**LEFT, "token": "THE"})
    with pytest.raises(ModelFolderError, match=r"padding.token: found 'THE', expected a token of the vocabulary"):
        read_checkpoint(folder)


def test_a_timestep_costs_the_rows_of_its_window(tmp_path: Path) -> None:
    windowed = Model(tmp_path, "classification", window=20).task
    plain = Model(tmp_path, "classification", name="plain").task
    operation = Predict(to_input(IDS))
    costs = [task.cost(operation, in_session=False).timesteps for task in (windowed, plain)]
    assert costs == [20 * len(IDS), len(IDS)]
    assert windowed.start(operation, windowed.initial_state).next_cost == 12 * 20
