"""`unroll import`: one command from the file of a training to a verified folder."""

import json
from pathlib import Path

import torch
from click.testing import Result
from torch import nn
from typer.testing import CliRunner

from service.cli import app
from tests.integration.tooling.formats.networks import FOLDER

KERAS = FOLDER / "keras-lstm-relu.keras"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["import", *map(str, arguments)])


def test_a_keras_file_becomes_a_folder_and_a_request(tmp_path: Path) -> None:
    result = run(KERAS, tmp_path / "mine" / "1", "--preprocessor", "identity", "--yes")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "mine" / "1" / "config.json").read_text())["cell_options"]["activation"] == "relu"
    row = "[0.0, 0.0, 0.0]"
    body = f'{{"input": {{"values": [{row}, {row}, {row}]}}}}'
    assert result.stdout.endswith(f"try it with:\n  curl -s localhost:8000/v1/models/mine/predict --json '{body}'\n")


def test_names_are_stated_or_accepted(tmp_path: Path) -> None:
    result = run(KERAS, tmp_path / "mine" / "1", "--preprocessor", "identity")
    assert result.exit_code == 1
    assert "found weights that fit more than one network" in result.stderr
    assert "--set names=" in result.stderr
    stated = run(KERAS, tmp_path / "mine" / "1", "--preprocessor", "identity", "--set", 'names=["a", "b"]')
    assert stated.exit_code == 0, stated.output


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    result = run(KERAS, tmp_path / "mine" / "1", "--dry-run")
    assert (result.exit_code, [*tmp_path.iterdir()]) == (0, [])
    assert "proposed config.json" in result.stdout


def test_two_files_are_the_parts_of_one_network(tmp_path: Path) -> None:
    for name in ("encoder", "decoder"):
        parts = {"embedding": nn.Embedding(9, 4), "gru": nn.GRU(4, 5)}
        head = {"out": nn.Linear(5, 9)} if name == "decoder" else {}
        torch.save(nn.ModuleDict(parts | head).state_dict(), tmp_path / f"{name}.pth")
    files = [f"{name}={tmp_path / name}.pth" for name in ("encoder", "decoder")]
    result = run(*files, tmp_path / "m" / "1", "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)["report"]
    assert [group["prefix"] for group in report["recurrent"]] == ["encoder.gru.", "decoder.gru."]
    assert "encoder-decoder" in report["looks_like"]


def test_several_files_without_parts_are_refused(tmp_path: Path) -> None:
    result = run(KERAS, KERAS, tmp_path / "m" / "1")
    assert result.exit_code == 1
    assert "expected the part of each: encoder=FILE decoder=FILE" in result.stderr
