"""Golden vectors that the trainer's own code records in one call prove the folder, and refuse another network."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import service.golden
from service.domain.errors import ModelFolderError
from service.golden import record
from tests.checks.places import ROOT
from tests.encoder_folders import read_trainer as read_encoder
from tests.encoder_folders import write_encoder
from tests.folders import make_trainer, write_language_model
from tests.forecast_folders import write_forecaster
from tests.registered import read_checkpoint

IDS = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])


class Logits(nn.Module):
    """A network that returns its outputs alone."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Tensor) -> Tensor:
        return self.network(ids)[0]


class Forecasts(nn.Module):
    """A forecaster as its trainer wrote it, over values in their own units: mean and scale of four steps."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.scaling = json.loads((folder / "preprocessor.json").read_text("utf-8"))
        weights = service_tensors(folder)
        self.lstm, self.output = nn.LSTM(1, 8, batch_first=True), nn.Linear(8, 8)
        own = {name.removeprefix("rnn."): tensor for name, tensor in weights.items() if name.startswith("rnn.")}
        self.lstm.load_state_dict(own)
        self.output.load_state_dict({name: weights[f"output.{name}"] for name in ("weight", "bias")})

    def forward(self, values: Tensor) -> tuple[Tensor, Any]:
        scaled = ((values - self.scaling["mean"][0]) / self.scaling["scale"][0]).clamp(-5, 5)
        outputs, state = self.lstm(scaled.float())
        mean, scale = self.output(outputs[:, -1]).view(-1, 4, 2).unbind(-1)
        return torch.stack([mean, nn.functional.softplus(scale) + 1e-4], -1), state


def service_tensors(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file  # noqa: PLC0415 - as a trainer reads them

    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("settings", [{}, {"window": 3}, {"cell": "gru"}], ids=str)
def test_a_language_model_is_proved(tmp_path: Path, settings: dict[str, Any]) -> None:
    folder = write_language_model(tmp_path, golden=False, **settings)
    trainer = make_trainer(json.loads((folder / "config.json").read_text("utf-8")))
    record(Logits(trainer), IDS, folder)
    assert read_checkpoint(folder).verified
    record(Logits(make_trainer(trainer.config, seed=1)), IDS, folder)
    with pytest.raises(ModelFolderError, match="found a difference"):
        read_checkpoint(folder)


def test_a_forecaster_is_proved_with_its_state(tmp_path: Path) -> None:
    folder = write_forecaster(tmp_path, golden=False)
    record(Forecasts(folder), 100 + 20 * torch.randn(3, 7, 1, dtype=torch.float64), folder)
    assert read_checkpoint(folder).verified


@pytest.mark.parametrize("task", ["classification", "tagging", "regression", "embedding"])
def test_a_sequence_encoder_is_proved(tmp_path: Path, task: str) -> None:
    folder = write_encoder(tmp_path, "encoder", task, golden=False)
    record(Logits(read_encoder(folder)), IDS, folder)
    assert read_checkpoint(folder).verified


def test_the_network_stays_as_it_was(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Embedding(10, 4), nn.Dropout(0.5)).train()
    first, second = (record(network, IDS, tmp_path / name).read_bytes() for name in ("a", "b"))
    assert first == second
    assert network.training


def test_the_copy_in_the_docs_is_the_same_and_needs_torch_and_safetensors_alone(tmp_path: Path) -> None:
    copy = ROOT / "docs" / "golden.py"
    assert copy.read_text("utf-8") == Path(service.golden.__file__).read_text("utf-8")
    shutil.copy(copy, tmp_path / "golden.py")
    code = (
        "import sys, torch; from golden import record; from torch import nn; "
        "print(record(nn.Embedding(9, 4), torch.tensor([[1, 2]]), 'folder')); "
        "print(any(name.partition('.')[0] == 'service' for name in sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={}, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["folder/golden.safetensors", "False"]
