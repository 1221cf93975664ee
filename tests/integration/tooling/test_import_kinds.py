"""`unroll import` of a network in each kind of file, by one command from an empty folder: its numbers are PyTorch's."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from service.cli import app
from service.model_folder.safetensors_io import write_tensor_file
from service.tasks.architectures import load_task
from service.tasks.limits import TextLimits
from tests.fuzz.seeds import Network, scripted
from tests.keras_files import compute, keras_model_of, write_h5, write_keras

WORDS = ["<unk>", "a", "b", "c", "d", "e", "f"]
IDS = [1, 4, 2, 6, 3]


def arrays(network: Network) -> dict[str, Any]:
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def zipped(network: Network, path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays(network))


def pickled(value: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(value))


def prefixed(network: Network, prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in network.state_dict().items()}


KINDS: dict[str, Callable[[Network, Path], object]] = {
    "a state dict": lambda network, path: torch.save(network.state_dict(), path),
    "a file before PyTorch 1.6": lambda network, path: torch.save(
        network.state_dict(), path, _use_new_zipfile_serialization=False
    ),
    "Lightning": lambda network, path: torch.save(
        {
            "epoch": 3,
            "state_dict": prefixed(network, "model."),
            "callbacks": {"EarlyStopping": {"best": torch.ones(())}},
        },
        path,
    ),
    "DataParallel": lambda network, path: torch.save(prefixed(network, "module."), path),
    "torch.compile": lambda network, path: torch.save(prefixed(network, "_orig_mod."), path),
    "a loss beside the weights": lambda network, path: torch.save(
        {"model_state_dict": network.state_dict(), "loss": torch.tensor(0.5)}, path
    ),
    "a path beside the weights": lambda network, path: torch.save({"model": network.state_dict(), "to": path}, path),
    "a number of numpy beside the weights": lambda network, path: torch.save(
        {"model": network.state_dict(), "loss": np.float64(0.5)}, path
    ),
    "a whole network": torch.save,
    "a whole network by pickle": pickled,
    "float64": lambda network, path: torch.save(network.double().state_dict(), path),
    "TorchScript": lambda network, path: path.write_bytes(scripted(network)),
    "numpy.savez": zipped,
    "pickled arrays": lambda network, path: pickled(arrays(network), path),
    "safetensors": lambda network, path: write_tensor_file(path, network.state_dict()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_language_model_in_a_file_of_any_kind(tmp_path: Path, kind: str) -> None:
    network = Network()
    with torch.no_grad():
        expected = network(torch.tensor(IDS)[:, None])[:, 0]
    KINDS[kind](network, tmp_path / "weights.bin")
    (tmp_path / "words.txt").write_text("\n".join(WORDS) + "\n")
    imported(tmp_path, "weights.bin", "--vocab", tmp_path / "words.txt")
    served = loaded(tmp_path)
    outputs, _ = served.rnn.sequence(served.embedding.embed(torch.tensor([IDS])), served.rnn.initial_state(1))
    assert torch.allclose(served.output(served.head(outputs))[0], expected, atol=1e-5)


@pytest.mark.parametrize("write", [write_keras, write_h5])
def test_a_forecaster_of_keras(tmp_path: Path, write: Callable[..., Path]) -> None:
    layers = keras_model_of("LSTM", inputs=1, units=5, outputs=2)
    write(tmp_path / "weights.bin", layers, (24, 1))
    imported(tmp_path, "weights.bin", "--preprocessor", "identity")
    served = loaded(tmp_path)
    rows = np.random.default_rng(1).random((24, 1), dtype=np.float32)
    outputs, _ = served.sequence(torch.from_numpy(rows)[None])
    answer = served.answer(served.read_out_sequence(outputs[0]))
    assert np.allclose(answer.numpy()[0], compute(layers, rows), atol=1e-5)


def loaded(folder: Path) -> Any:
    """Return the network of the folder that was written."""
    return load_task(folder / "models" / "mine" / "1", TextLimits(input_tokens=100))[0].network


def imported(folder: Path, file: str, *options: object) -> None:
    """Import a file by the command, with the proposed values of what it asks."""
    arguments = ["import", folder / file, folder / "models" / "mine" / "1", "--plain", "--yes", *options]
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
