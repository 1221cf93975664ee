"""`unroll import` of a network with what its training left beside the weights: vocabularies, scaling, labels."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from torch import Tensor, nn
from typer.testing import CliRunner

from service.cli import app

SCALERS = Path(__file__).parents[2] / "data" / "preprocessing"
CHARACTERS = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def run(command: str, *arguments: object) -> Result:
    return CliRunner().invoke(app, [command, *map(str, arguments)])


def packed(*arguments: object) -> str:
    result = run("import", *arguments, "--plain")
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object) -> str:
    result = run("import", *arguments, "--plain")
    assert result.exit_code == 1, result.output
    return " ".join(result.stderr.split())


def config(folder: Path) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return fields


def parts(**modules: nn.Module) -> dict[str, Tensor]:
    return nn.ModuleDict(modules).state_dict()


def language_model(path: Path, rows: int, **beside: object) -> Path:
    network = parts(embedding=nn.Embedding(rows, 8), lstm=nn.LSTM(8, 9), fc=nn.Linear(9, rows))
    torch.save({"state_dict": network, **beside}, path)
    return path


def numbers(path: Path, reads: int, answers: int, **beside: object) -> Path:
    torch.save({"state_dict": parts(lstm=nn.LSTM(reads, 9), fc=nn.Linear(9, answers)), **beside}, path)
    return path


def test_a_list_of_characters_with_the_line_end_is_served(tmp_path: Path) -> None:
    (tmp_path / "chars.txt").write_text("".join(f"{character}\n" for character in CHARACTERS))
    network = language_model(tmp_path / "char.pt", len(CHARACTERS))
    packed(tmp_path / "chars.txt", network, tmp_path / "m" / "1")
    result = run("predict", tmp_path / "m" / "1", "To be,\nor", "--json")
    assert json.loads(result.stdout)["observed"] == {
        **json.loads(result.stdout)["observed"],
        "tokens": 9,
        "unknown": [],
    }


def test_a_vocabulary_beside_the_weights_is_used(tmp_path: Path) -> None:
    words = ["<pad>", "<unk>", "<s>", "</s>", "yes", "no"]
    stoi = {word: index for index, word in enumerate(words)}
    network = language_model(
        tmp_path / "lm.pt", 6, hyper_parameters={"layers": 2, "hidden": 9, "vocab": {"stoi": stoi, "itos": words}}
    )
    assert "the vocabulary is hyper_parameters.vocab.stoi in the file" in packed(network, tmp_path / "m" / "1")
    roles = {"pad": "<pad>", "unknown": "<unk>", "begin": "<s>", "end": "</s>"}
    assert config(tmp_path / "m" / "1")["special_tokens"] == roles
    tokenizer = json.loads((tmp_path / "m" / "1" / "tokenizer.json").read_text())
    assert tokenizer["model"]["vocab"] == stoi


def test_a_vocabulary_of_other_size_beside_the_weights_is_told(tmp_path: Path) -> None:
    network = language_model(tmp_path / "lm.pt", 9, word2idx={"<unk>": 0, "a": 1, "b": 2})
    result = run("import", network, tmp_path / "m" / "1", "--dry-run")
    assert "word2idx: a dictionary of 3 entries, ids 0 to 2, which does not fit 9 rows" in result.stdout


def test_a_stated_vocabulary_comes_before_that_of_the_file(tmp_path: Path) -> None:
    network = language_model(tmp_path / "lm.pt", 3, vocab=["<unk>", "a", "b"])
    (tmp_path / "words.txt").write_text("<unk>\nc\nd\n")
    packed(network, tmp_path / "m" / "1", "--vocab", tmp_path / "words.txt")
    vocabulary = json.loads((tmp_path / "m" / "1" / "tokenizer.json").read_text())["model"]["vocab"]
    assert vocabulary == {"<unk>": 0, "c": 1, "d": 2}


def test_sizes_that_fit_in_two_ways_are_told_by_numbers(tmp_path: Path) -> None:
    network = language_model(tmp_path / "lm.pt", 4)
    (tmp_path / "words.txt").write_text("<unk>\nalpha\nbeta\n")
    message = refused(network, tmp_path / "words.txt", tmp_path / "m" / "1")
    assert "found a list of 3 entries, in the order of the ids, and an embedding of 4 rows: one more" in message
    packed(network, tmp_path / "words.txt", tmp_path / "m" / "1", "--set", 'special_tokens={"pad": "<pad>"}')
    assert config(tmp_path / "m" / "1")["special_tokens"] == {"unknown": "<unk>", "pad": "<pad>"}


def test_a_scaler_becomes_the_preprocessor(tmp_path: Path) -> None:
    network = numbers(tmp_path / "f.pt", 3, 3)
    for index, name in enumerate(("StandardScaler.pkl", "MinMaxScaler.joblib"), 1):
        packed(network, SCALERS / name, tmp_path / "m" / str(index), "--yes")
    (tmp_path / "scaling.json").write_text('{"c": {"mean": 1, "std": 2}, "a": {"mean": 3, "std": 4}}')
    message = refused(network, tmp_path / "m" / "3", "--scaler", tmp_path / "scaling.json", "--yes")
    assert "found a scaling of 2 features (c, a), expected as many as the network has features, 3" in message
    stated = packed(
        *(numbers(tmp_path / "g.pt", 1, 1), tmp_path / "m" / "3", "--scaler", tmp_path / "scaling.json", "--yes"),
        *("--set", 'features=["a"]', "--set", 'target=["a"]'),
    )
    assert "preprocessor: a scaling of 2 features (c, a)" in stated
    preprocessor = json.loads((tmp_path / "m" / "3" / "preprocessor.json").read_text())
    assert (preprocessor["mean"], preprocessor["scale"]) == ([3.0], [4.0])


def test_names_of_a_scaler_are_those_of_the_features(tmp_path: Path) -> None:
    scaling = {"mean": {"rain": 1.0, "heat": 2.0}, "std": {"rain": 3.0, "heat": 4.0}}
    network = numbers(tmp_path / "f.pt", 2, 2, stats=scaling)
    packed(network, tmp_path / "m" / "1", "--yes", "--set", 'target=["rain", "heat"]')
    assert config(tmp_path / "m" / "1")["features"] == ["rain", "heat"]


def test_a_scaler_of_each_side_of_a_regression(tmp_path: Path) -> None:
    network = numbers(tmp_path / "r.pt", 2, 1)
    (tmp_path / "x.json").write_text('{"mean": [1, 2], "std": [3, 4]}')
    (tmp_path / "y.json").write_text('{"flow": {"mean": 5, "std": 6}}')
    scaled = f"features={tmp_path / 'x.json'}", f"target={tmp_path / 'y.json'}"
    packed(network, *scaled, tmp_path / "m" / "1", "--yes", "--set", "task=regression", "--set", 'names=["flow"]')
    fields = config(tmp_path / "m" / "1")
    assert (fields["target_mean"], fields["target_scale"]) == ([5.0], [6.0])
    assert "forecasts have the scaling of their features" in refused(
        numbers(tmp_path / "f.pt", 2, 2), *scaled, tmp_path / "m" / "2", "--yes"
    )


def test_labels_of_an_encoder_are_those_of_the_outputs(tmp_path: Path) -> None:
    network = numbers(tmp_path / "c.pt", 4, 3)
    arguments = (network, SCALERS / "LabelEncoder.pkl", tmp_path / "m" / "1", "--preprocessor", "identity", "--yes")
    packed(*arguments, "--set", "task=classification")
    assert config(tmp_path / "m" / "1")["labels"] == ["calm", "run", "walk"]


def test_two_vocabularies_are_those_of_a_translation(tmp_path: Path) -> None:
    sides = {"encoder": (7, {}), "decoder": (6, {"out": nn.Linear(5, 6)})}
    for name, (rows, head) in sides.items():
        torch.save(parts(embedding=nn.Embedding(rows, 4), gru=nn.GRU(4, 5), **head), tmp_path / f"{name}.pth")
    marks = ["<unk>", "<s>", "</s>"]
    (tmp_path / "src.txt").write_text("\n".join([*marks, "eins", "zwei", "drei", "vier"]))
    (tmp_path / "tgt.json").write_text(json.dumps([*marks, "one", "two", "three"]))
    files = [f"{name}={tmp_path / name}.pth" for name in sides]
    packed(*files, tmp_path / "src.txt", tmp_path / "tgt.json", tmp_path / "m" / "1", "--yes")
    assert config(tmp_path / "m" / "1")["special_tokens"] == {"unknown": "<unk>", "begin": "<s>", "end": "</s>"}
    result = run("predict", tmp_path / "m" / "1", "zwei drei")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("kind", ["source", "features", "labels"])
def test_a_file_that_is_another_than_stated_is_refused(tmp_path: Path, kind: str) -> None:
    network = language_model(tmp_path / "lm.pt", 4)
    message = refused(network, f"{kind}={network}", tmp_path / "m" / "1")
    assert f"found no {kind}, expected a vocabulary, a scaler or labels" in message


def test_preprocessing_alone_is_no_network(tmp_path: Path) -> None:
    message = refused(SCALERS / "StandardScaler.pkl", SCALERS / "LabelEncoder.pkl", tmp_path / "m" / "1")
    assert "found a StandardScaler of scikit-learn of 3 features, a LabelEncoder" in message
    assert "expected the file of the network too" in message
