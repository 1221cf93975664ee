"""The request that `unroll import` prints at its end is answered by a server of the folder, for each task."""

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from service.cli import app
from tests.onnx_folders import running_sum
from tests.server import Server, short_folder

WORDS = ["<unk>", "<s>", "</s>", "one", "two", "three", "four"]
CHARACTERS = ["\n", " ", "a", "b", "c"]
MARKS = 'special_tokens={"unknown": "<unk>", "begin": "<s>", "end": "</s>"}'
CALENDAR = {
    "format_version": 1,
    "task": "forecasting",
    "architecture": "forecaster",
    "cell": "lstm",
    "num_layers": 1,
    "input_size": 4,
    "hidden_size": 5,
    "features": ["load", "heat"],
    "target": ["load"],
    "known": ["heat"],
    "calendar": ["hour_of_day"],
    "frequency": "1h",
    "horizon": 2,
    "distribution": "point",
    "context": {"size": 4, "activation": "tanh"},
    "local": {"size": 6, "activation": "relu"},
    "dtype": "float32",
}
TASKS = ["words", "characters", "translation", "forecasting", "calendar", "classification", "tagging", "regression"]
TASKS += ["embedding", "tensor"]


def parts(**modules: nn.Module) -> dict[str, Tensor]:
    return nn.ModuleDict(modules).state_dict()


def text_network(rows: int, outputs: int) -> dict[str, Tensor]:
    head = {"fc": nn.Linear(5, outputs)} if outputs else {}
    return parts(embedding=nn.Embedding(rows, 4), gru=nn.GRU(4, 5), **head)


def import_model(folder: Path, name: str, files: Sequence[object], *settings: str) -> str:
    """Import files as a model, and return the printed request."""
    options = ["--plain", "--yes", *(part for setting in settings for part in ("--set", setting))]
    result = CliRunner().invoke(app, ["import", *map(str, files), str(folder / "models" / name / "1"), *options])
    assert result.exit_code == 0, result.output
    return result.stdout.rstrip().rpartition("\n")[2].strip()


def import_all(folder: Path) -> dict[str, str]:
    """Import a model of each task, and return the printed requests."""
    words, identity = folder / "words.txt", folder / "scaling.json"
    words.write_text("\n".join(WORDS))
    (folder / "characters.txt").write_text("".join(f"{character}\n" for character in CHARACTERS))
    identity.write_text('{"mean": [3.5, -2], "std": [2, 4]}')
    networks = {
        "words": text_network(7, 7),
        "characters": text_network(5, 5),
        "encoder": text_network(7, 0),
        "decoder": text_network(7, 7),
        "classification": text_network(7, 3),
        "tagging": text_network(7, 2),
        "embedding": text_network(7, 0),
        "forecasting": parts(lstm=nn.LSTM(2, 5), fc=nn.Linear(5, 2)),
        "calendar": parts(rnn=nn.LSTM(4, 5), context=nn.Linear(5, 8), local=nn.Linear(7, 6), output=nn.Linear(6, 1)),
        "regression": parts(lstm=nn.LSTM(2, 5), fc=nn.Linear(5, 1)),
    }
    for name, tensors in networks.items():
        torch.save(tensors, folder / f"{name}.pt")
    (folder / "tensor.onnx").write_bytes(running_sum().SerializeToString())
    (folder / "config.json").write_text(json.dumps(CALENDAR))
    sides = (f"encoder={folder / 'encoder.pt'}", f"decoder={folder / 'decoder.pt'}")
    calls: dict[str, tuple[list[object], list[str]]] = {
        "words": ([folder / "words.pt", words], []),
        "characters": ([folder / "characters.pt", folder / "characters.txt"], []),
        "translation": ([*sides, f"source={words}", f"target={words}"], [MARKS]),
        "forecasting": ([folder / "forecasting.pt", identity], []),
        "calendar": ([folder / "calendar.pt", identity, folder / "config.json"], []),
        "classification": ([folder / "classification.pt", words], ["task=classification", "readout=last"]),
        "tagging": ([folder / "tagging.pt", words], ["task=tagging", "readout=each"]),
        "embedding": ([folder / "embedding.pt", words], ["task=embedding", "readout=mean"]),
        "regression": ([folder / "regression.pt", identity], ["task=regression", "readout=each"]),
        "tensor": ([folder / "tensor.onnx"], []),
    }
    return {name: import_model(folder, name, files, *settings) for name, (files, settings) in calls.items()}


@pytest.fixture(scope="module")
def requests() -> Iterator[tuple[dict[str, str], Server]]:
    """The printed requests by task, and a server of the models."""
    assert shutil.which("curl"), "the printed requests need curl"
    with short_folder() as folder:
        printed = import_all(folder)
        with Server(folder, models=folder / "models") as server:
            yield printed, server


@pytest.mark.parametrize("task", TASKS)
def test_the_printed_request_is_answered(requests: tuple[dict[str, str], Server], task: str) -> None:
    printed, server = requests
    command = shlex.split(printed[task].replace("localhost:8000", urlsplit(server.url).netloc))
    assert command[0] == "curl"
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    answer = json.loads(result.stdout)
    assert answer.get("output"), (printed[task], answer)
    assert answer["model"] == task


def test_every_model_has_its_request(requests: tuple[dict[str, str], Server]) -> None:
    assert [*requests[0]] == [name for name in requests[0] if name in TASKS]
    assert len(requests[0]) == len(TASKS)
