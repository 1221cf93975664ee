"""What weights cannot tell is stated, asked for, or proven by vectors; no folder serves wrong numbers in silence."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result
from torch import Tensor, nn
from torch.nn import functional as F
from typer.testing import CliRunner

from service import cli
from service.cli import model_folders
from service.domain.errors import ModelFolderError
from service.model_folder.safetensors_io import write_tensor_file
from service.tooling.inspect.questions.question import Question
from service.tooling.inspect.report import inspect
from service.tooling.pack.packer import Packed, pack
from tests.folders import WORDS, write_tokenizer

SIZE = len(WORDS)


class Recurrent(nn.Module):
    """An LSTM over rows of numbers and a linear layer, with weights so large that early inputs count."""

    def __init__(self, inputs: int = 1, outputs: int = 1, layers: int = 1) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.lstm, self.fc = nn.LSTM(inputs, 8, layers, batch_first=True), nn.Linear(8, outputs)
        for name, parameter in self.named_parameters():
            nn.init.uniform_(parameter, -1, 1)
            if name.startswith("lstm.bias"):
                parameter.data[8:16] += 2  # the forget gate


def save(folder: Path, network: nn.Module, **vectors: Tensor) -> Path:
    """Save a state dict, and golden vectors beside it."""
    torch.save(network.state_dict(), folder / "saved.pt")
    if vectors:
        named = {name.replace("_", "s.", 1): tensor.detach().contiguous() for name, tensor in vectors.items()}
        write_tensor_file(folder / "golden.safetensors", named, {"tolerance": "1e-5"})
    return folder / "saved.pt"


def save_forecast(folder: Path, forecast: Callable[[Recurrent, Tensor], Tensor], times: int = 12) -> Path:
    """Save a network and what `forecast` computes with it."""
    network, values = Recurrent(), torch.randn(3, times, 1)
    return save(
        folder, network, input_values=values.double(), output_parameters=forecast(network, values)[..., None, None]
    )


def pack_numbers(folder: Path, *, golden: bool = True, **options: object) -> Packed:
    files = {"preprocessor": "identity", **({"golden": folder / "golden.safetensors"} if golden else {})}
    return pack(folder / "saved.pt", folder / "models", "m", "1", **files, **options)  # type: ignore[arg-type]


def config_of(packed: Packed) -> dict[str, object]:
    fields: dict[str, object] = json.loads((packed.path / "config.json").read_text("utf-8"))
    return fields


def run(*arguments: object, answers: str | None = None) -> Result:
    return CliRunner().invoke(cli.app, [*map(str, arguments)], input=answers)


def test_the_refusal_shows_the_questions_and_a_command_that_works(tmp_path: Path) -> None:
    source = save(tmp_path, Recurrent(3, 4, 2))
    refused = run("pack", source, tmp_path / "models" / "m" / "1")
    assert refused.exit_code == 1
    fields = ("task", "one_hot", "readout", "cell_options", "connection", "head.input.activation", "window", "labels")
    for field in fields:
        assert f"--set {field}=" in refused.stderr
    assert "--set window=none | N" in refused.stderr
    command = shlex.split(refused.stderr.strip().splitlines()[-1])
    assert command[0] == "unroll"
    assert run(*command[1:]).exit_code == 0


def test_a_classifier_is_never_packed_as_a_forecast_in_silence(tmp_path: Path) -> None:
    save(tmp_path, Recurrent(9, 6, 2))
    with pytest.raises(ModelFolderError, match=r"--set task=classification \| tagging \| regression"):
        pack_numbers(tmp_path, golden=False)
    assert not (tmp_path / "models").exists()
    assert config_of(pack_numbers(tmp_path, golden=False, plain=True))["task"] == "classification"


def test_yes_answers_names_alone_and_plain_answers_all(tmp_path: Path) -> None:
    source, target = save(tmp_path, Recurrent()), tmp_path / "models" / "m" / "1"
    refused = run("import", source, target, "--preprocessor", "identity", "--yes")
    assert refused.exit_code == 1
    assert "--set window=" in refused.stderr
    assert "--set features=" not in refused.stderr
    assert run("import", source, target, "--preprocessor", "identity", "--plain").exit_code == 0


def test_a_terminal_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_folders, "is_terminal", lambda: True)
    source, target = save(tmp_path, Recurrent()), tmp_path / "models" / "m" / "1"
    asked = run("import", source, target, "--preprocessor", "identity", answers="\n\nrelu\n24\n\n\n\n\n")
    assert asked.exit_code == 0, asked.output
    assert "task [forecasting]" in asked.output
    fields = json.loads((target / "config.json").read_text("utf-8"))
    assert (fields["head"], fields["window"]) == ([{"activation": "relu"}], 24)


def test_each_answer_decides_what_is_asked_next(tmp_path: Path) -> None:
    save(tmp_path, Recurrent())
    asked: list[str] = []

    def answer(question: Question) -> object:
        asked.append(question.field)
        return "regression" if question.field == "task" else question.plain.value

    assert config_of(pack_numbers(tmp_path, golden=False, ask=answer))["readout"] == "each"
    assert asked[0] == "task"
    assert "readout" in asked
    assert "output_residual" not in asked


@pytest.mark.parametrize("activation", [torch.relu, torch.tanh, F.gelu], ids=lambda function: function.__name__)
def test_vectors_prove_what_stands_in_front_of_the_output(
    tmp_path: Path, activation: Callable[[Tensor], Tensor]
) -> None:
    save_forecast(tmp_path, lambda network, x: network.fc(activation(network.lstm(x)[0][:, -1])))
    packed = pack_numbers(tmp_path)
    assert packed.verification.verified
    assert config_of(packed)["head"] == [{"activation": activation.__name__}]
    assert any(f"head.input.activation={activation.__name__}" in note for note in packed.notes)


def test_vectors_longer_than_a_window_prove_it(tmp_path: Path) -> None:
    save_forecast(tmp_path, lambda network, x: network.fc(network.lstm(x[:, -5:])[0][:, -1]))
    assert config_of(pack_numbers(tmp_path))["window"] == 5


def test_vectors_as_long_as_the_window_do_not_prove_it_and_that_is_told(tmp_path: Path) -> None:
    save_forecast(tmp_path, lambda network, x: network.fc(network.lstm(x)[0][:, -1]), times=5)
    packed = pack_numbers(tmp_path)
    assert config_of(packed).get("window") is None
    assert any(
        "do not tell window=none from 5, which give the same numbers: none is taken" in note for note in packed.notes
    )


def test_vectors_that_no_choice_computes_are_refused_with_the_closest(tmp_path: Path) -> None:
    save_forecast(tmp_path, lambda network, x: network.fc(network.lstm(x)[0][:, -1].relu()) + 0.01)
    with pytest.raises(
        ModelFolderError, match=r"combinations(.|\n)*closest is head\.input\.activation=relu: .*of 0\.01"
    ):
        pack_numbers(tmp_path, settings={"task": "forecasting", "window": "none"})
    assert not (tmp_path / "models").exists()


def test_vectors_prove_the_readout_of_a_classifier(tmp_path: Path) -> None:
    network, values = Recurrent(3, 4, 2), torch.randn(2, 7, 3)
    save(tmp_path, network, input_values=values, output_logits=network.fc(network.lstm(values)[0].mean(1)))
    fields = config_of(pack_numbers(tmp_path))
    assert (fields["task"], fields["readout"]) == ("classification", "mean")


@pytest.mark.parametrize(
    ("task", "asked", "option", "stated"),
    [
        ("classification", "--set multi_label=false | true", "multi_label", True),
        ("regression", "--set target_scale=1 | N, with --set target_mean=N", "target_mean", 3.5),
    ],
)
def test_what_follows_the_outputs_is_asked_and_named_beside_vectors(
    tmp_path: Path, task: str, asked: str, option: str, stated: object
) -> None:
    network, values = Recurrent(3, 4), torch.randn(2, 7, 3)
    outputs = network.fc(network.lstm(values)[0][:, -1])
    name = "logits" if task == "classification" else "values"
    save(tmp_path, network, input_values=values, **{f"output_{name}": outputs})
    settings = {"task": task, "readout": "last"}
    with pytest.raises(ModelFolderError) as refused:
        pack_numbers(tmp_path, golden=False, settings=settings, names_as_proposed=True)
    assert asked in str(refused.value)
    with pytest.raises(ModelFolderError) as refused:
        pack_numbers(tmp_path, golden=False, settings={**settings, option: stated}, names_as_proposed=True)
    assert asked not in str(refused.value)
    packed = pack_numbers(tmp_path, settings=settings)
    assert any(note.startswith(f"golden vectors do not show {asked[6:].partition('=')[0]}") for note in packed.notes)


def test_vectors_prove_how_a_scale_follows(tmp_path: Path) -> None:
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.lstm, self.mu, self.sigma = nn.LSTM(1, 8, batch_first=True), nn.Linear(8, 1), nn.Linear(8, 1)

    network, values = TwoHeads(), torch.randn(2, 6, 1)
    last = network.lstm(values)[0][:, -1]
    parameters = torch.stack([network.mu(last), network.sigma(last).exp()], -1)[:, None]
    save(tmp_path, network, input_values=values.double(), output_parameters=parameters)
    assert config_of(pack_numbers(tmp_path))["scale"] == {"activation": "exp", "minimum": 0.0}


def test_vectors_prove_unit_vectors(tmp_path: Path) -> None:
    network, ids = Recurrent(SIZE, SIZE), torch.randint(SIZE, (2, 7))
    logits = network.fc(network.lstm(F.one_hot(ids, SIZE).float())[0])
    source = save(tmp_path, network, input_ids=ids, output_logits=logits)
    write_tokenizer(tmp_path / "tokenizer.json", WORDS)
    files = {"tokenizer": tmp_path / "tokenizer.json", "golden": tmp_path / "golden.safetensors"}
    packed = pack(source, tmp_path / "models", "m", "1", settings={"task": "next-word"}, **files)  # type: ignore[arg-type]
    fields = config_of(packed)
    assert (fields["architecture"], fields["one_hot"], packed.verification.verified) == ("language-model", True, True)


@pytest.mark.parametrize(
    ("kind", "answered"), [("state dict", False), ("whole network", True)], ids=["state dict", "whole network"]
)
def test_a_file_that_tells_its_cells_answers_by_itself(tmp_path: Path, kind: str, answered: bool) -> None:
    network = nn.Sequential()
    network.add_module("gru", nn.GRU(1, 4))
    network.add_module("fc", nn.Linear(4, 1))
    torch.save(network if kind == "whole network" else network.state_dict(), tmp_path / "saved.pt")
    proposal = inspect(tmp_path / "saved.pt").proposal
    assert proposal is not None
    assert ("cell_options" not in proposal.guessed) == answered
    reset = [question for question in proposal.questions if '{"reset": "before"}' in question.options()]
    assert bool(reset) != answered


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"encoder": nn.Embedding(20, 6), "rnn": nn.LSTM(6, 6)}, "an embedding and recurrent layers without an output"),
        (
            {"emb": nn.Embedding(20, 6), "gru": nn.GRU(14, 8), "out": nn.Linear(8, 20)},
            "the decoder of an encoder-decoder",
        ),
        ({"left": nn.LSTM(4, 6), "right": nn.LSTM(4, 6)}, "a network of several towers: left, right are encoders"),
    ],
    ids=["encoder", "decoder", "towers"],
)
def test_a_part_of_a_network_is_told_for_what_it_is(tmp_path: Path, parts: dict[str, nn.Module], sentence: str) -> None:
    source = save(tmp_path, nn.ModuleDict(parts))
    with pytest.raises(ModelFolderError, match=sentence):
        pack(source, tmp_path / "models", "m", "1", preprocessor="identity", plain=True)


def test_an_encoder_alone_is_served_as_what_is_stated(tmp_path: Path) -> None:
    source = save(tmp_path, nn.ModuleDict({"encoder": nn.Embedding(SIZE, 6), "rnn": nn.LSTM(6, 6)}))
    write_tokenizer(tmp_path / "tokenizer.json", WORDS)
    for task, tied in (("embedding", None), ("next-word", True)):
        packed = pack(
            source,
            tmp_path / "models",
            task,
            "1",
            settings={"task": task},
            plain=True,
            tokenizer=tmp_path / "tokenizer.json",
        )
        assert config_of(packed).get("tie_weights") == tied
