"""Packing a translation network: a config.json, a folder of tokenizers, the trainer's own vectors."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from service.domain.errors import ModelFolderError
from service.tooling.pack.packer import pack
from tests.translation_folders import write_encoder_decoder


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A folder with what a trainer has: weights with the tied output layer, no bias in the attention."""
    folder = write_encoder_decoder(tmp_path / "trained", attention="additive", decoder={"tie_weights": True})
    weights = load_file(folder / "model.safetensors")
    weights["output.weight"] = weights["decoder.embedding.weight"].clone()
    torch.save(weights, folder / "weights.pt")
    return folder


def test_a_state_dict_becomes_a_verified_folder(trained: Path, tmp_path: Path) -> None:
    packed = pack(
        trained / "weights.pt",
        tmp_path / "models",
        "mt",
        "1",
        config=trained / "config.json",
        tokenizer=trained,
        golden=trained / "golden.safetensors",
    )
    assert packed.verification.verified
    assert (packed.verification.task, packed.verification.state_bytes) == ("translation", 4 * 24)
    assert any("it is decoder.embedding.weight (tie_weights)" in note for note in packed.notes)
    names = {path.name for path in (tmp_path / "models" / "mt" / "1").iterdir()}
    assert {"source_tokenizer.json", "target_tokenizer.json"} < names


def test_an_attention_without_bias_gets_one_of_zeros(trained: Path, tmp_path: Path) -> None:
    packed = pack(
        trained / "weights.pt",
        tmp_path / "models",
        "mt",
        "1",
        config=trained / "config.json",
        tokenizer=trained,
        maps=[r"attention\.query\.bias="],
    )
    assert "attention.query.bias is written as zeros: the checkpoint's layer has none" in packed.notes
    assert not load_file(packed.path / "model.safetensors")["attention.query.bias"].any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"tokenizer": "source_tokenizer.json"},
            "found one tokenizer, expected a folder with source_tokenizer.json and",
        ),
        ({"tokenizer": ".."}, "found no source_tokenizer.json, expected the tokenizers that config.json names"),
        ({"vocab": "config.json"}, "found a word list, expected tokenizers for a translation model"),
    ],
)
def test_tokenizers_that_do_not_fit_are_refused(
    trained: Path, tmp_path: Path, given: dict[str, str], message: str
) -> None:
    paths = {name: trained / file for name, file in given.items()}
    with pytest.raises(ModelFolderError, match=message):
        pack(trained / "weights.pt", tmp_path / "models", "mt", "1", config=trained / "config.json", **paths)
    assert not (tmp_path / "models" / "mt").exists()


def test_one_layer_over_state_and_memory_becomes_the_two_of_an_additive_attention(
    trained: Path, tmp_path: Path
) -> None:
    weights = load_file(trained / "model.safetensors")
    parts = [weights.pop(f"attention.{side}.weight") for side in ("query", "memory")]
    attn = {"attn.weight": torch.cat(parts, 1), "attn.bias": weights.pop("attention.query.bias")}
    torch.save({**weights, **attn}, trained / "weights.pt")
    arguments = {"config": trained / "config.json", "tokenizer": trained, "golden": trained / "golden.safetensors"}
    packed = pack(
        trained / "weights.pt", tmp_path / "models", "mt", "1", maps=[r"^attn\.=attention.combined."], **arguments
    )
    assert packed.verification.verified
    assert "attention.combined is written as attention.query and attention.memory" in packed.notes
