"""Tests of packing the numeric networks of users: proposal, settings, scaling and their own golden vectors."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from torch import Tensor, nn
from torch.nn import functional as F
from typer.testing import CliRunner

from service.cli import app
from service.domain.errors import ModelFolderError
from service.model_folder.safetensors_io import write_tensor_file
from service.tooling.inspect.report import inspect
from service.tooling.pack.packer import Packed, pack
from tests.folders import write_language_model, write_tokenizer
from tests.registered import build_config


class River(nn.Module):
    """An LSTM with a head in a container of its own."""

    features, steps, count = ["level", "rain", "heat"], 1, 1

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 12, batch_first=True)
        self.head = nn.ModuleDict({"net": nn.Sequential(nn.Linear(12, 1))})

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output, (h, c) = self.lstm(x)
        return self.head["net"](output[:, -1]).reshape(-1, 1, 1, 1), {"h": h, "c": c}


class Taxi(nn.Module):
    """A linear layer in front; every feature is forecast one step ahead."""

    features, steps, count = ["value", "hour", "day"], 1, 3

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(3, 8), nn.Linear(8, 3)
        self.rnn = nn.LSTM(8, 8, 2, batch_first=True)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output, (h, c) = self.rnn(self.encoder(x))
        return self.decoder(output[:, -1]).reshape(-1, 1, 3, 1), {"h": h, "c": c}


class Ahead(nn.Module):
    """A GRU with a hidden layer, which answers mean and scale of four steps."""

    features, steps, count = ["load"], 4, 1

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(1, 10, batch_first=True)
        self.fc1, self.fc2 = nn.Linear(10, 10), nn.Linear(10, 8)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output, h = self.gru(x)
        mean, raw = self.fc2(torch.relu(self.fc1(output[:, -1]))).reshape(-1, 4, 1, 2).unbind(-1)
        return torch.stack([mean, F.softplus(raw) + 1e-4], -1), {"h": h}


class Elman(River):
    """Without a bias in its output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.RNN(3, 12, batch_first=True)
        self.head = nn.ModuleDict({"net": nn.Sequential(nn.Linear(12, 1, bias=False))})

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output, h = self.lstm(x)
        return self.head["net"](output[:, -1]).reshape(-1, 1, 1, 1), {"h": h}


class Rectified(River):
    """With relu in front of its only linear layer."""

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output, (h, c) = self.lstm(x)
        return self.head["net"](output[:, -1].relu()).reshape(-1, 1, 1, 1), {"h": h, "c": c}


class Normed(River):
    """With normalisations of the features and of a hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.LayerNorm(12), nn.Linear(12, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 1)]
        self.head = nn.ModuleDict({"net": nn.Sequential(*layers)})
        nn.init.uniform_(layers[2].running_mean)
        nn.init.uniform_(layers[2].running_var, 0.5, 2)


class Learned(River):
    """With an initial state that was trained."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 12, 2, batch_first=True)
        self.h0, self.c0 = nn.Parameter(torch.randn(2, 1, 12)), nn.Parameter(torch.randn(2, 1, 12))

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        initial = [tensor.repeat(1, len(x), 1) for tensor in (self.h0, self.c0)]
        output, (h, c) = self.lstm(x, tuple(initial))
        return self.head["net"](output[:, -1]).reshape(-1, 1, 1, 1), {"h": h, "c": c}


class Convolved(River):
    """With a convolution in front that reads whole kernels only."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.lstm = nn.Conv1d(3, 5, 3), nn.LSTM(5, 12, batch_first=True)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return super().forward(self.convolution(x.transpose(1, 2)).relu().transpose(1, 2))


class TwoHeads(River):
    """With a layer for the mean and one for the scale, four steps ahead."""

    def __init__(self) -> None:
        super().__init__()
        del self.head
        self.mu, self.sigma = nn.Linear(12, 4), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output, (h, c) = self.lstm(x)
        both = torch.stack([self.mu(output[:, -1]), self.sigma(output[:, -1]).exp()], -1)
        return both[:, :, None], {"h": h, "c": c}


class TwoKinds(River):
    """With two LSTMs of other sizes and a GRU behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.second = nn.LSTM(3, 9, batch_first=True), nn.LSTM(9, 5, 2, batch_first=True)
        self.gru = nn.GRU(5, 12, batch_first=True)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        first, (h0, c0) = self.lstm(x)
        second, (h1, c1) = self.second(first)
        output, h2 = self.gru(second)
        state = {
            "h_l0": h0[0],
            "c_l0": c0[0],
            "h_l1": h1[0],
            "c_l1": c1[0],
            "h_l2": h1[1],
            "c_l2": c1[1],
            "h_l3": h2[0],
        }
        return self.head["net"](output[:, -1]).reshape(-1, 1, 1, 1), state


class BothEnds(nn.Module):
    """The last output of both directions over the last four rows."""

    features, steps, count = ["level", "rain", "heat"], 1, 1

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 12, batch_first=True, bidirectional=True)
        self.head = nn.ModuleDict({"net": nn.Sequential(nn.Linear(24, 1))})

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        _, (h, _) = self.lstm(x[:, -4:])
        return self.head["net"](torch.cat([h[0], h[1]], -1)).reshape(-1, 1, 1, 1), {}


SETTINGS: dict[type[nn.Module], dict[str, object]] = {
    Learned: {"target": ["level"], "horizon": 1, "distribution": "point"},
    Convolved: {
        "target": ["level"],
        "horizon": 1,
        "distribution": "point",
        "convolution": [{"channels": 5, "kernel": 3, "padding": "valid", "activation": "relu"}],
    },
    TwoHeads: {
        "target": ["level"],
        "horizon": 4,
        "distribution": "gaussian",
        "scale": {"activation": "exp", "minimum": 0.0},
    },
    TwoKinds: {"target": ["level"], "horizon": 1, "distribution": "point"},
    River: {"target": ["level"], "horizon": 1, "distribution": "point"},
    Taxi: {"target": Taxi.features, "horizon": 1, "distribution": "point"},
    Ahead: {
        "target": ["load"],
        "horizon": 4,
        "distribution": "gaussian",
        "frequency": "1h",
        "head": [{"size": 10, "activation": "relu"}],
    },
    Elman: {"target": ["level"], "horizon": 1, "distribution": "point", "cell": "rnn_tanh"},
    Normed: {
        "target": ["level"],
        "horizon": 1,
        "distribution": "point",
        "head": [{"layer_norm": True}, {"size": 7}, {"batch_norm": True, "activation": "relu"}],
    },
}


class Case:
    """The files of a user: checkpoint, scaling and golden vectors."""

    def __init__(self, folder: Path, kind: type[Any]) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            self.network = kind().eval()
        self.folder, self.source = folder, folder / "saved.pt"
        self.settings = {"features": kind.features, **SETTINGS.get(kind, SETTINGS[River])}
        torch.save({"epoch": 3, "state_dict": self.network.state_dict()}, self.source)
        self.scaling: dict[str, Any] = {
            "format_version": 1,
            "features": kind.features,
            "mean": [10.0 * (index + 1) for index in range(len(kind.features))],
            "scale": [2.0 + index for index in range(len(kind.features))],
            "frequency": self.settings.get("frequency"),
        }
        self.write(scaled=True)

    def write(self, *, scaled: bool) -> None:
        """Write preprocessor.json, and golden vectors of scaled or plain numbers."""
        (self.folder / "scaling.json").write_text(json.dumps(self.scaling), "utf-8")
        mean, scale = (torch.tensor(self.scaling[name], dtype=torch.float64) for name in ("mean", "scale"))
        noise = torch.randn(2, 6, len(mean), generator=torch.Generator().manual_seed(4), dtype=torch.float64)
        with torch.no_grad():
            parameters, state = self.network(noise.float())
        vectors = {
            "inputs.values": noise * scale + mean if scaled else noise,
            "outputs.parameters": parameters,
            **{f"state.{name}": tensor for name, tensor in state.items()},
        }
        write_tensor_file(self.folder / "golden.safetensors", vectors, {"tolerance": "1e-4"})

    def pack(self, **changes: Any) -> Packed:
        arguments = {
            "settings": self.settings,
            "preprocessor": self.folder / "scaling.json",
            "golden": self.folder / "golden.safetensors",
            **changes,
        }
        return pack(self.source, self.folder / "models", "sensor", "1", **arguments)

    def files(self) -> list[Path]:
        """Return the files and folders that packing has left."""
        return sorted((self.folder / "models").rglob("*"))


@pytest.mark.parametrize("kind", SETTINGS, ids=lambda kind: kind.__name__)
def test_a_users_network_becomes_a_verified_folder(tmp_path: Path, kind: type[Any]) -> None:
    case = Case(tmp_path, kind)
    packed = case.pack()
    assert packed.verification.verified
    assert (packed.verification.task, packed.verification.architecture) == ("forecasting", "forecaster")
    assert {path.name for path in packed.path.iterdir()} == {
        "config.json",
        "model.safetensors",
        "golden.safetensors",
        "preprocessor.json",
    }


@pytest.mark.parametrize("kind", SETTINGS, ids=lambda kind: kind.__name__)
def test_the_proposal_fits_the_sizes_and_says_what_is_guessed(tmp_path: Path, kind: type[Any]) -> None:
    report = inspect(Case(tmp_path, kind).source)
    assert report.proposal is not None
    config = build_config(report.proposal.config, "place")
    assert len(report.proposal.config["features"]) == len(kind.features)
    assert config.task == "forecasting"
    stated = {"task", "features", "window", *(["target"] if len(kind.features) > 1 else [])}
    assert stated <= {*report.proposal.guessed}
    assert any("mean and scale" in fact for fact in report.unknown)
    assert "--set window=none" in report.render()
    fields = report.to_dict()
    assert json.loads(json.dumps(fields)) == fields


class ByExp(Ahead):
    """With the logarithm of the scale in place of what softplus is applied to."""

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        parameters, state = super().forward(x)
        raw = torch.expm1(parameters[..., 1:].double() - 1e-4).log()
        return torch.cat([parameters[..., :1], raw.exp().float()], -1), state


@pytest.mark.parametrize(("kind", "scale"), [(Ahead, "default"), (ByExp, "exp")], ids=["default", "exp"])
def test_the_scale_of_a_stated_distribution_is_asked_for_or_proven(tmp_path: Path, kind: type[Any], scale: str) -> None:
    case = Case(tmp_path, kind)
    case.settings |= SETTINGS[Ahead]
    case.scaling["frequency"] = "1h"
    case.write(scaled=True)
    with pytest.raises(ModelFolderError) as error:
        case.pack(golden=None)
    assert "--set scale=default | softplus | exp | exp_half\n" in str(error.value)
    with pytest.raises(ModelFolderError) as error:
        case.pack(golden=None, settings={**case.settings, "distribution": "point", "horizon": 8})
    assert "--set scale=" not in str(error.value)
    packed = case.pack()
    assert any(f"scale={scale}" in note or f'scale={{"activation": "{scale}"' in note for note in packed.notes)
    config = json.loads((packed.path / "config.json").read_text())
    assert config.get("scale", {"activation": "default"})["activation"] == scale


def test_the_window_of_both_directions_is_stated_or_proven(tmp_path: Path) -> None:
    case = Case(tmp_path, BothEnds)
    settings = {**case.settings, "task": "forecasting"}
    with pytest.raises(ModelFolderError, match="--plain takes all of them but window") as refused:
        case.pack(settings=settings, plain=True, golden=None)
    assert "--set window=N" in str(refused.value)
    assert not case.files()
    packed = case.pack(settings={**settings, "output_residual": False})
    assert any("readout=last" in note and "window=4" in note for note in packed.notes)
    config = json.loads((packed.path / "config.json").read_text("utf-8"))
    assert (config["bidirectional"], config["readout"], config["window"]) == (True, "last", 4)


def test_a_relu_in_front_of_the_only_linear_layer_is_stated_or_proven(tmp_path: Path) -> None:
    case = Case(tmp_path, Rectified)
    with pytest.raises(ModelFolderError, match="found a difference of"):
        case.pack(plain=True)
    packed = case.pack()
    assert any("head.input.activation=relu" in note for note in packed.notes)
    assert json.loads((packed.path / "config.json").read_text("utf-8"))["head"] == [{"activation": "relu"}]
    shutil.rmtree(packed.path)
    assert case.pack(settings={**case.settings, "head": [{"activation": "relu"}]}).verification.verified


class FeedsItself(nn.Module):
    """An encoder, and a decoder that reads the last level, and then its own forecasts."""

    features, steps, count = ["level", "rain", "heat"], 5, 1

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.LSTM(3, 12, batch_first=True), nn.LSTM(1, 12, batch_first=True)
        self.out = nn.Linear(12, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        _, state = self.encoder(x)
        h, c = state
        row, outputs = x[:, -1:, :1], []
        for _ in range(5):
            output, state = self.decoder(row, state)
            row = self.out(output)
            outputs.append(row)
        return torch.cat(outputs, 1)[..., None], {"h": h, "c": c}


def pack_decoder(case: Case, **decoder: Any) -> Packed:
    layers = {"cell": "lstm", "num_layers": 1, "hidden_size": 12}
    fields = {
        "format_version": 1,
        "task": "forecasting",
        "architecture": "forecaster",
        **layers,
        "input_size": 3,
        "features": FeedsItself.features,
        "target": ["level"],
        "horizon": 5,
        "distribution": "point",
        "decoder": {**layers, "input_size": 1, **decoder},
    }
    (case.folder / "config.json").write_text(json.dumps(fields), "utf-8")
    return case.pack(config=case.folder / "config.json", settings={}, maps=["^encoder=rnn", "^out=output"])


def test_a_decoder_that_feeds_itself_is_packed_with_a_config(tmp_path: Path) -> None:
    case = Case(tmp_path, FeedsItself)
    with pytest.raises(ModelFolderError, match="found a difference of"):
        pack_decoder(case, start="zeros")
    assert pack_decoder(case).verification.verified


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        ({"hidden_size": 9}, "decoder: found lstm, expected layers of the cells and sizes of those whose state"),
        ({"input_size": 3}, "decoder.input_size: found 3, expected 1, the targets that it reads"),
        ({"start": "first"}, "decoder.start: found"),
    ],
)
def test_a_decoder_that_cannot_continue_is_refused(tmp_path: Path, decoder: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFolderError, match=message):
        pack_decoder(Case(tmp_path, FeedsItself), **decoder)


def test_what_vectors_do_not_prove_has_to_be_stated(tmp_path: Path) -> None:
    """Which of several features a number is the forecast of, shows in no number of the network."""
    case = Case(tmp_path, River)
    with pytest.raises(ModelFolderError, match=r"fit more than one network(.|\n)*--set target="):
        case.pack(settings={"features": River.features})
    assert not case.files()


def test_identity_scaling_is_written_where_it_is_stated(tmp_path: Path) -> None:
    case = Case(tmp_path, Ahead)
    case.write(scaled=False)
    packed = case.pack(preprocessor="identity")
    assert packed.verification.verified
    assert json.loads((packed.path / "preprocessor.json").read_text("utf-8")) == {
        "format_version": 1,
        "features": ["load"],
        "mean": [0.0],
        "scale": [1.0],
        "frequency": "1h",
        "clamp": None,
        "missing": "last",
    }


def test_a_wrong_scaling_is_caught_by_the_golden_vectors(tmp_path: Path) -> None:
    case = Case(tmp_path, River)
    with pytest.raises(ModelFolderError, match=r"models/sensor/1/golden.safetensors: .*found a difference of"):
        case.pack(preprocessor="identity", plain=True)
    assert not case.files()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preprocessor": None}, r"sensor/1: found no preprocessor, expected --preprocessor FILE .* or .* identity"),
        ({"preprocessor": Path("nowhere.json")}, r"cannot be packed: .*nowhere.json"),
        ({"vocab": Path("words.txt")}, "words.txt: found a word list, expected none: a forecaster reads numbers"),
        ({"tokenizer": Path("t.json")}, "t.json: found a tokenizer, expected none: a forecaster reads numbers"),
        ({"settings": {"horizon": 3}}, r"output.*: found shape \[1.*expected \[3.*: horizon 3 x 1 targets x 1 numbers"),
        ({"settings": {"distribution": "gaussian"}}, r"output.*horizon 1 x 1 targets x 2 numbers of gaussian"),
        ({"settings": {"features": ["level"]}}, r"input_size: found 3, expected 1 \(features, indicators, calendar\)"),
        ({"settings": {"target": ["flow"]}}, r"target: found flow, expected only names of features"),
        ({"settings": {"features": ["a", "b", "c"], "target": ["a"]}}, r"preprocessor.json: features: found"),
        ({"settings": {"frequency": "1h"}}, r"preprocessor.json: frequency: found None, expected 1h as in config.json"),
        ({"settings": {"head": [{"size": 4}]}}, r"head.0.weight: found only .*, expected it too"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_told_and_leaves_no_folder(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    case = Case(tmp_path, River)
    if "settings" in changes:
        changes = {"settings": {**case.settings, **changes["settings"]}, "plain": True}
    with pytest.raises(ModelFolderError, match=message):
        case.pack(**changes)
    assert not case.files()


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        ({"scale": [1.0, 0.0, 1.0]}, r"preprocessor.json: scale.1: found 0.0"),
        ({"mean": [0.0]}, r"preprocessor.json: mean: found \[0.0\], expected 3 finite numbers"),
        ({"more": 1}, r"preprocessor.json: more: found 1"),
    ],
    ids=str,
)
def test_a_preprocessor_that_does_not_fit_is_refused(tmp_path: Path, scaling: dict[str, Any], message: str) -> None:
    case = Case(tmp_path, River)
    case.scaling |= scaling
    (tmp_path / "scaling.json").write_text(json.dumps(case.scaling), "utf-8")
    with pytest.raises(ModelFolderError, match=message):
        case.pack()
    assert not case.files()


def parts(**more: nn.Module) -> nn.ModuleDict:
    return nn.ModuleDict(more)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (parts(rnn=nn.GRU(2, 8)), "there is no linear layer behind the recurrent ones to forecast with"),
        (parts(rnn=nn.GRU(2, 8), out=nn.Linear(80, 1)), "a layer over a window of 10 timesteps at once is not served"),
        (parts(rnn=nn.GRU(2, 8), one=nn.Linear(8, 1), two=nn.Linear(8, 1)), "two.weight reads 8 numbers where 1"),
        (
            parts(rnn=nn.GRU(2, 8), extra=nn.ParameterList([torch.ones(3)]), out=nn.Linear(8, 1)),
            "parts that are not known here: extra.0",
        ),
        (parts(rnn=nn.GRU(2, 8), out=nn.Linear(8, 1), norm=nn.LayerNorm(1)), "no linear layer behind"),
        (parts(a=nn.GRU(2, 8), b=nn.GRU(7, 9), out=nn.Linear(9, 1)), "several networks or a nested one"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_served_is_said_and_gets_no_config(tmp_path: Path, network: nn.Module, reason: str) -> None:
    torch.save(network.state_dict(), tmp_path / "saved.pt")
    report = inspect(tmp_path / "saved.pt")
    assert reason in report.looks_like
    assert report.proposal is None


def test_a_square_layer_is_in_front_or_behind_by_its_place_and_name(tmp_path: Path) -> None:
    front = parts(linear=nn.Linear(8, 8), rnn=nn.GRU(8, 8), out=nn.Linear(8, 1))
    behind = parts(rnn=nn.GRU(8, 8), one=nn.Linear(8, 8), out=nn.Linear(8, 1))
    named = parts(fc=nn.Linear(8, 8), rnn=nn.GRU(8, 8), out=nn.Linear(8, 1))
    proposals = []
    for network in (front, behind, named):
        torch.save(network.state_dict(), tmp_path / "saved.pt")
        proposal = inspect(tmp_path / "saved.pt").proposal
        assert proposal is not None
        asked = {"input_projection", "head.0.activation"} & {*proposal.guessed}
        proposals.append((proposal.config["input_projection"], len(proposal.config["head"]), asked))
    behind_rnn = (False, 1, {"head.0.activation"})
    assert proposals == [(True, 0, {"input_projection"}), behind_rnn, behind_rnn]


def test_a_preprocessor_is_refused_for_text(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path)
    write_tokenizer(tmp_path / "tokenizer.json", ["a"])
    with pytest.raises(ModelFolderError, match="identity: found a preprocessor, expected none: next-word reads text"):
        pack(
            folder / "model.safetensors",
            tmp_path / "models",
            "words",
            "1",
            tokenizer=tmp_path / "tokenizer.json",
            preprocessor="identity",
            plain=True,
        )
    assert not (tmp_path / "models").exists()


def run_pack(case: Case, *arguments: str | Path) -> Result:
    """Run `unroll pack` with the settings of a case and further arguments."""
    settings = [part for name, value in case.settings.items() for part in ("--set", f"{name}={json.dumps(value)}")]
    target = case.folder / "models" / "sensor" / "1"
    return CliRunner().invoke(app, ["pack", *map(str, (case.source, target, "--plain", *settings, *arguments))])


def test_the_command_requires_a_preprocessor(tmp_path: Path) -> None:
    result = run_pack(Case(tmp_path, River))
    assert result.exit_code == 1
    assert "found no preprocessor" in result.stderr


def test_the_command_takes_settings_and_a_preprocessor(tmp_path: Path) -> None:
    case = Case(tmp_path, River)
    result = run_pack(case, "--preprocessor", tmp_path / "scaling.json", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["verification"]["task"] == "forecasting"


def test_a_path_to_a_file_named_identity_is_read_as_a_file(tmp_path: Path) -> None:
    case = Case(tmp_path, River)
    identity = shutil.copy(tmp_path / "scaling.json", tmp_path / "identity")
    assert run_pack(case, "--preprocessor", identity).exit_code == 0
    packed = tmp_path / "models" / "sensor" / "1" / "preprocessor.json"
    assert json.loads(packed.read_text("utf-8"))["mean"] == case.scaling["mean"]
