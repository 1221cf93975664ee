"""Folders of sequence encoders are read strictly, and golden vectors tell a wrong statement."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.encoder_folders import write_encoder
from tests.integration.test_model_folders import edit_config, edit_tensors, refusal
from tests.registered import read_checkpoint


@pytest.mark.parametrize("task", ["classification", "tagging", "regression", "embedding"])
@pytest.mark.parametrize("text", [True, False])
def test_golden_vectors_are_replayed(tmp_path: Path, task: str, text: bool) -> None:
    assert read_checkpoint(write_encoder(tmp_path, "mine", task, text=text)).verified


def test_a_reduced_dtype_is_within_its_wider_tolerance(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path, "mine", "classification", readout="attention", attention={"size": 4})
    for dtype in ("bfloat16", "int8"):
        assert read_checkpoint(folder, dtype).verified


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"readout": "mean"}, {"readout": "last"}),
        ({"readout": "last", "bidirectional": True}, {"readout": "last_output"}),
        ({"head": [{"activation": "relu"}]}, {"head": []}),
    ],
)
def test_a_wrong_statement_is_refused(tmp_path: Path, settings: dict[str, Any], wrong: dict[str, Any]) -> None:
    folder = write_encoder(tmp_path, "mine", "classification", **settings)
    other = write_encoder(tmp_path, "other", "classification", **{**settings, **wrong}, golden=False)
    (other / "golden.safetensors").write_bytes((folder / "golden.safetensors").read_bytes())
    (other / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    assert "outputs.logits: found a difference" in refusal(other)


def test_labels_that_do_not_match_the_output_are_refused(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path, "mine", "classification")
    edit_config(folder, labels=["a", "b"])
    assert "output.weight: found shape [3, 12], expected [2, 12]" in refusal(folder)


def test_a_crf_of_another_size_is_refused(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path, "mine", "tagging", crf=True)
    wrong = {"crf.transitions": torch.zeros(4, 4)}
    edit_tensors(folder / "model.safetensors", lambda tensors: tensors.update(wrong))
    assert "crf.transitions: found shape [4, 4], expected [3, 3]" in refusal(folder)


def test_tags_that_the_crf_does_not_choose_are_refused(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path, "mine", "tagging", crf=True)
    tags = {"outputs.tags": torch.tensor([[0, 1, 2] * 3] * 2)}
    edit_tensors(folder / "golden.safetensors", lambda tensors: tensors.update(tags))
    assert "where the CRF chooses" in refusal(folder)


def test_a_preprocessor_of_other_features_is_refused(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path, "mine", "regression", text=False)
    path = folder / "preprocessor.json"
    path.write_text(path.read_text("utf-8").replace("rain", "snow"), "utf-8")
    assert "preprocessor.json: features: found ['snow', 'heat', 'wind'], expected ['rain'" in refusal(folder)
    path.write_bytes(b"\x80\x04\x95 pickled scaler")
    assert "preprocessor.json: found no readable JSON" in refusal(folder)
