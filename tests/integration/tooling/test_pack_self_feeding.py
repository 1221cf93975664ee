"""Encoder-decoders over numbers, whose decoder reads its own forecasts, are packed from their state dicts."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from service.domain.errors import ModelFolderError
from service.model_folder.safetensors_io import write_tensor_file
from service.tooling.inspect.report import inspect
from service.tooling.pack.packer import Packed, pack

STEPS = 4


class FeedsItself(nn.Module):
    """An encoder of three features, and a decoder of the first one that begins with its last value."""

    features, fed = 3, 1

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.encoder, self.decoder = nn.LSTM(3, 8, batch_first=True), nn.LSTM(self.fed, 8, batch_first=True)
        self.out = nn.Linear(8, self.fed)

    def first(self, x: Tensor) -> Tensor:
        return x[:, -1:, : self.fed]

    def answer(self, row: Tensor, state: Any) -> tuple[Tensor, Any]:
        output, state = self.decoder(row, state)
        return self.out(output), state

    def forward(self, x: Tensor) -> Tensor:
        """Return the forecasts (batch, steps, targets, 1)."""
        row, (_, state), outputs = self.first(x), self.encoder(x), []
        for _ in range(STEPS):
            row, state = self.answer(row, state)
            outputs.append(row)
        return torch.cat(outputs, 1)[..., None]


class FromZeros(FeedsItself):
    """A decoder that begins with zeros and has relu in front of its output layer."""

    def first(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x), 1, 1)

    def answer(self, row: Tensor, state: Any) -> tuple[Tensor, Any]:
        output, state = self.decoder(row, state)
        return self.out(output.relu()), state


class AllFeatures(FeedsItself):
    """GRUs in modules of their own; the decoder forecasts all features, behind a layer in front of it."""

    fed = 3

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.GRU(3, 8, 2, batch_first=True)
        layers = {"embed": nn.Linear(3, 6), "gru": nn.GRU(6, 8, 2, batch_first=True), "fc": nn.Linear(8, 3)}
        self.decoder = nn.ModuleDict(layers)
        del self.out

    def answer(self, row: Tensor, state: Any) -> tuple[Tensor, Any]:
        output, state = self.decoder["gru"](self.decoder["embed"](row).tanh(), state)
        return self.decoder["fc"](output), state


class OverWindows(FeedsItself):
    """An encoder that was trained on windows of five rows."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[:, -5:])


class Cells(FeedsItself):
    """LSTMCells, called step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder_cell, self.decoder_cell = nn.LSTMCell(3, 8), nn.LSTMCell(1, 8)
        del self.encoder, self.decoder

    def forward(self, x: Tensor) -> Tensor:
        state, row, outputs = None, x[:, -1, :1], []
        for timestep in x.unbind(1):
            state = self.encoder_cell(timestep, state)
        for _ in range(STEPS):
            state = self.decoder_cell(row, state)
            row = self.out(state[0])
            outputs.append(row)
        return torch.stack(outputs, 1)[..., None]


def write_files(folder: Path, network: FeedsItself) -> Path:
    """Write the state dict of a network with large weights, and golden vectors beside it."""
    for parameter in network.parameters():
        nn.init.uniform_(parameter, -0.7, 0.7)
    torch.save(network.state_dict(), folder / "saved.pt")
    values = torch.randn(3, 9, network.features)
    with torch.no_grad():
        vectors = {"inputs.values": values.double(), "outputs.parameters": network(values)}
    write_tensor_file(folder / "golden.safetensors", vectors, {"tolerance": "1e-5"})
    return folder / "saved.pt"


def pack_it(folder: Path, source: Path, **settings: object) -> Packed:
    settings = {"target": ["feature_1"], **settings}
    golden = folder / "golden.safetensors"
    return pack(source, folder / "models", "m", "1", preprocessor="identity", golden=golden, settings=settings)


def config_of(packed: Packed) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((packed.path / "config.json").read_text("utf-8"))
    return fields


@pytest.mark.parametrize(
    ("kind", "proven"),
    [
        (FeedsItself, {"start": "last"}),
        (FromZeros, {"start": "zeros"}),
        (AllFeatures, {"input_layers": [{"size": 6, "activation": "tanh"}]}),
        (Cells, {"start": "last"}),
        (OverWindows, {"start": "last"}),
    ],
)
def test_vectors_prove_the_decoder(tmp_path: Path, kind: type[FeedsItself], proven: dict[str, object]) -> None:
    network = kind()
    targets = {"target": [f"feature_{index + 1}" for index in range(network.fed)]}
    packed = pack_it(tmp_path, write_files(tmp_path, network), **targets)
    fields = config_of(packed)
    assert packed.verification.verified
    assert fields["decoder"].items() >= proven.items()
    assert (fields["horizon"], fields.get("window")) == (STEPS, 5 if kind is OverWindows else None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"decoder.start": "zeros"},
        pytest.param({"window": 5}, marks=pytest.mark.slow),
        pytest.param({"head.input.activation": "relu"}, marks=pytest.mark.slow),
    ],
)
def test_a_wrong_statement_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    source = write_files(tmp_path, FeedsItself())
    with pytest.raises(ModelFolderError, match=r"found (values that no choice computes|a difference)"):
        pack_it(tmp_path, source, **wrong)


def test_without_vectors_horizon_and_start_are_asked(tmp_path: Path) -> None:
    source = write_files(tmp_path, FeedsItself())
    with pytest.raises(ModelFolderError, match=r"--set decoder.start=last \| zeros(.|\n)*--set horizon=1 \| N"):
        pack(source, tmp_path / "models", "m", "1", preprocessor="identity")
    settings = {"horizon": 7}
    assert (
        config_of(pack(source, tmp_path / "models", "m", "1", preprocessor="identity", settings=settings, plain=True))[
            "decoder"
        ]["start"]
        == "last"
    )


def test_an_autoencoder_is_told_from_a_forecaster(tmp_path: Path) -> None:
    parts = {"encoder": nn.LSTM(3, 8), "decoder": nn.LSTM(8, 8), "out": nn.Linear(8, 3)}
    torch.save(nn.ModuleDict(parts).state_dict(), tmp_path / "saved.pt")
    report = inspect(tmp_path / "saved.pt")
    assert report.proposal is None
    assert "an autoencoder or the like: its decoder decoder.* reads the 8 outputs" in report.to_dict()["looks_like"]
