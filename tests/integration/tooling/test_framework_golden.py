"""`--golden auto`: the framework of a file computes the vectors by which the folder is verified."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from click.testing import Result
from torch import nn
from typer.testing import CliRunner

from service.cli import app
from service.domain.errors import ModelFolderError
from service.tooling.frameworks.running import run_framework
from tests.integration.tooling.formats.networks import FOLDER
from tests.onnx_folders import running_sum

WORDS = ["<unk>", *(f"w{index}" for index in range(39))]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["import", *map(str, arguments), "--golden", "auto", "--yes", "--json"])


def verified(*arguments: object) -> bool:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return bool(json.loads(result.stdout)["packed"]["verification"]["verified"])


def words(tmp_path: Path, count: int) -> Path:
    (tmp_path / "words.json").write_text(json.dumps(WORDS[:count]))
    return tmp_path / "words.json"


class Forecaster(nn.Module):
    """Forecasts the next two values, through a layer that the weights do not tell of if `hidden` is relu."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.lstm, self.activation, self.fc = nn.LSTM(1, 6, batch_first=True), activation, nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output, _ = self.lstm(x)
        answer: torch.Tensor = self.fc(self.activation(output[:, -1]))
        return answer


@pytest.mark.parametrize("name", ["torchscript-script.pt", "torchscript-trace.pt"])
def test_torchscript_computes_its_own_vectors(tmp_path: Path, name: str) -> None:
    assert verified(FOLDER / name, words(tmp_path, 40), tmp_path / "m" / "1")


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_the_forward_pass_of_the_file_is_found_and_another_one_refused(tmp_path: Path) -> None:
    for name, activation in (("plain", nn.Identity()), ("relu", nn.ReLU())):
        torch.jit.script(Forecaster(activation).eval()).save(str(tmp_path / f"{name}.pt"))
    scaling = tmp_path / "scaling.json"
    scaling.write_text('{"mean": [50], "std": [9]}')
    assert verified(tmp_path / "plain.pt", scaling, tmp_path / "m" / "1")
    assert verified(tmp_path / "relu.pt", scaling, tmp_path / "m" / "3")
    config = json.loads((tmp_path / "m" / "3" / "config.json").read_text("utf-8"))
    assert config["head"] == [{"activation": "relu"}]
    result = run(tmp_path / "relu.pt", scaling, tmp_path / "m" / "2", "--plain")
    assert result.exit_code == 1
    assert "outputs.parameters: found a difference of" in result.stderr
    assert not (tmp_path / "m" / "2").exists()


def test_onnx_runtime_computes_the_vectors_of_a_graph(tmp_path: Path) -> None:
    (tmp_path / "sum.onnx").write_bytes(running_sum().SerializeToString())
    # ONNX Runtime computes one timestep, and cannot show how the next one follows.
    result = run(tmp_path / "sum.onnx", tmp_path / "m" / "1")
    assert result.exit_code == 1
    assert "--set state.0.initial=zeros | TENSOR" in result.stderr
    assert verified(tmp_path / "sum.onnx", tmp_path / "m" / "1", "--plain")


@pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="Keras is not installed")
@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("keras-forecaster-lstm.keras", ["--preprocessor", "identity"]),
        ("keras-lstm-relu.keras", ["--preprocessor", "identity"]),
        ("keras-frames-gru-v1.h5", ["--preprocessor", "identity"]),
        ("keras-next-word.h5", []),
    ],
)
def test_keras_computes_the_vectors_of_its_models(tmp_path: Path, name: str, beside: list[str]) -> None:
    files = [FOLDER / name, *([] if beside else [words(tmp_path, 40)]), tmp_path / "m" / "1"]
    assert verified(*files, *beside)


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    result = run(FOLDER / "whole-model-pickle.pt", words(tmp_path, 40), tmp_path / "m" / "1")
    assert result.exit_code == 1
    assert "which holds no graph to run, expected a file of Keras, TorchScript or ONNX" in result.stderr


def test_a_framework_that_fails_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(b"no archive")
    with pytest.raises(ModelFolderError, match=r"torchscript failed on it, status 1: .*Error"):
        run_framework("torchscript", tmp_path / "x.pt", {})
