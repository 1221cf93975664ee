"""Small networks whose sequences begin with a vector, as their trainers write them, and their model folders."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from service.golden import record
from service.model_folder.safetensors_io import write_tensor_file
from tests.folders import WORDS, write_tokenizer
from tests.registered import with_state

SIZE, LAYERS, HIDDEN = 6, 2, 12
IDS = torch.tensor([[1, 9, 4, 7, 5, 9], [1, 6, 5, 3, 5, 8], [1, 30, 12, 8, 9, 7]])
VECTORS = torch.linspace(-1.5, 2, 3 * SIZE).view(3, SIZE)
State = tuple[Tensor, ...]


class Melodies(nn.Module):
    """An LSTM whose initial state comes from the vector of a style, by a linear layer over all its layers each."""

    def __init__(self, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(WORDS), hidden)
        self.init_h = nn.Linear(SIZE, LAYERS * hidden)
        self.init_c = nn.Linear(SIZE, LAYERS * hidden)
        self.lstm = nn.LSTM(hidden, hidden, LAYERS, batch_first=True)
        self.output = nn.Linear(hidden, len(WORDS))

    def forward(self, style: Tensor, ids: Tensor) -> tuple[Tensor, State]:
        shape = (len(style), LAYERS, self.lstm.hidden_size)
        h, c = (torch.tanh(layer(style)).view(shape).transpose(0, 1) for layer in (self.init_h, self.init_c))
        outputs, state = self.lstm(self.embedding(ids), (h.contiguous(), c.contiguous()))
        return self.output(outputs), state


class Captions(nn.Module):
    """A GRU that reads the features of an image, projected and normalised, as its first input."""

    def __init__(self, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.image = nn.Linear(SIZE, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        nn.init.uniform_(self.norm.running_mean, -1, 1)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)
        self.embedding = nn.Embedding(len(WORDS), hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        self.output = nn.Linear(hidden, len(WORDS))

    def forward(self, features: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
        """Read the image and all words but the last; the outputs are those in front of each word."""
        first = self.norm(self.image(features))[:, None]
        outputs, state = self.gru(torch.cat([first, self.embedding(captions[:, :-1])], 1))
        return self.output(outputs), state


def make_melodies(seed: int = 0, hidden: int = HIDDEN) -> Melodies:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Melodies(hidden).eval()


def make_captions(seed: int = 0, hidden: int = HIDDEN) -> Captions:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Captions(hidden).eval()


def _fields(hidden: int, **fields: Any) -> dict[str, Any]:
    return {
        "format_version": 1,
        "task": "next-word",
        "architecture": "language-model",
        "input_size": hidden,
        "hidden_size": hidden,
        "embedding_size": hidden,
        "vocab_size": len(WORDS),
        "special_tokens": {"unknown": "<unk>", "begin": "<s>", "end": "<s>"},
        **fields,
    }


def write_melodies(
    root: Path, name: str = "melodies", hidden: int = HIDDEN, *, version: str = "1", seed: int = 0, **changes: Any
) -> Path:
    """Write the folder of `Melodies`; `changes` are wrong statements in its config.json."""
    network = make_melodies(seed, hidden)
    vector = {"size": SIZE, "activation": "tanh"}
    fields = _fields(hidden, cell="lstm", num_layers=LAYERS, initial_state="vector", vector=vector)
    own = network.state_dict()
    tensors = _renamed(own, {"lstm.": "rnn.", "embedding.": "embedding.", "output.": "output."})
    for kind in ("h", "c"):
        for part in ("weight", "bias"):
            layers = own[f"init_{kind}.{part}"].chunk(LAYERS)
            tensors |= {f"vector.initial.{kind}_l{layer}.{part}": one.clone() for layer, one in enumerate(layers)}
    return _write(root / name / version, fields | changes, tensors, network)


def write_captions(root: Path, name: str = "captions", hidden: int = HIDDEN, **changes: Any) -> Path:
    """Write the folder of `Captions`; `changes` are wrong statements in its config.json."""
    network = make_captions(hidden=hidden)
    vector = {"size": SIZE, "first_input": [{"size": hidden}, {"batch_norm": True}]}
    fields = _fields(hidden, cell="gru", num_layers=1, vector=vector)
    places = {"image.": "vector.first_input.0.", "norm.": "vector.first_input.1.", "gru.": "rnn."}
    tensors = _renamed(network.state_dict(), {**places, "embedding.": "embedding.", "output.": "output."})
    return _write(root / name / "1", fields | changes, tensors, network)


def _renamed(tensors: dict[str, Tensor], places: dict[str, str]) -> dict[str, Tensor]:
    return {
        place + name.removeprefix(prefix): tensor
        for prefix, place in places.items()
        for name, tensor in tensors.items()
        if name.startswith(prefix) and not name.endswith("num_batches_tracked")
    }


def _write(folder: Path, fields: dict[str, Any], tensors: dict[str, Tensor], network: nn.Module) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(with_state(fields, str(folder))), "utf-8")
    write_tensor_file(folder / "model.safetensors", tensors)
    write_tokenizer(folder / "tokenizer.json", WORDS)
    record(network, {"vector": VECTORS, "ids": IDS}, folder)
    return folder
