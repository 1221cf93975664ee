"""Networks as people write them become folders with the numbers of PyTorch, by what they state on the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from service.domain.errors import ModelFolderError
from service.model_folder.safetensors_io import write_tensor_file
from service.tooling.pack.packer import pack
from tests.folders import WORDS, write_tokenizer

SIZE = len(WORDS)
Answer = Callable[[nn.ModuleDict, Tensor], Tensor]


def tutorial_names(net: nn.ModuleDict, ids: Tensor) -> Tensor:
    """The cell of PyTorch's tutorial on names: a hidden layer of the input and one of the state, log-softmax behind."""
    hidden = torch.zeros(len(ids), 6)
    for row in F.one_hot(ids, SIZE).float().unbind(1):
        hidden = torch.tanh(net["i2h"](row) + net["h2h"](hidden))
    return net["h2o"](hidden).log_softmax(-1)


def both_final_states(net: nn.ModuleDict, ids: Tensor) -> Tensor:
    _, (h, _) = net["lstm"](net["embedding"](ids))
    return net["fc"](torch.cat([h[-2], h[-1]], 1))


def relu_behind_projection(net: nn.ModuleDict, values: Tensor) -> Tensor:
    return net["fc"](net["gru"](net["first"](values).relu())[0])


def norm_behind_relu(net: nn.ModuleDict, values: Tensor) -> Tensor:
    return net["fc2"](net["norm"](net["fc1"](net["gru"](values)[0][:, -1]).relu()))


def projected_words(net: nn.ModuleDict, ids: Tensor) -> Tensor:
    return net["fc"](net["gru"](net["first"](net["embedding"](ids)).tanh())[0])


NETWORKS: dict[Answer, tuple[dict[str, nn.Module], dict[str, object], str]] = {
    tutorial_names: (
        {"i2h": nn.Linear(SIZE, 6), "h2h": nn.Linear(6, 6), "h2o": nn.Linear(6, 3)},
        {"task": "classification", "one_hot": True, "readout": "last"},
        "logits",
    ),
    both_final_states: (
        {
            "embedding": nn.Embedding(SIZE, 5),
            "lstm": nn.LSTM(5, 6, 2, bidirectional=True, batch_first=True),
            "fc": nn.Linear(12, 3),
        },
        {"task": "classification", "readout": "last"},
        "logits",
    ),
    relu_behind_projection: (
        {"first": nn.Linear(3, 5), "gru": nn.GRU(5, 6, batch_first=True), "fc": nn.Linear(6, 2)},
        {"task": "regression", "readout": "each", "input.activation": "relu"},
        "values",
    ),
    norm_behind_relu: (
        {
            "gru": nn.GRU(3, 6, batch_first=True),
            "fc1": nn.Linear(6, 5),
            "norm": nn.BatchNorm1d(5),
            "fc2": nn.Linear(5, 4),
        },
        {"task": "classification", "readout": "last", "head.0.activation": "relu"},
        "logits",
    ),
    projected_words: (
        {
            "embedding": nn.Embedding(SIZE, 5),
            "first": nn.Linear(5, 7),
            "gru": nn.GRU(7, 6, batch_first=True),
            "fc": nn.Linear(6, SIZE),
        },
        {"input.activation": "tanh"},
        "logits",
    ),
}


@pytest.mark.parametrize("answer", NETWORKS, ids=lambda answer: answer.__name__)
def test_statements_make_the_network(tmp_path: Path, answer: Answer) -> None:
    parts, settings, output = NETWORKS[answer]
    source, golden, files = write_files(tmp_path, answer, parts, output)
    packed = pack(source, tmp_path, "m", "1", settings=settings, plain=True, golden=golden, **files)  # type: ignore[arg-type]
    assert packed.verification.verified


@pytest.mark.parametrize("answer", [relu_behind_projection, norm_behind_relu, projected_words])
def test_the_plain_choice_of_another_network_is_refused_by_vectors(tmp_path: Path, answer: Answer) -> None:
    parts, settings, output = NETWORKS[answer]
    source, golden, files = write_files(tmp_path, answer, parts, output)
    wrong = {field: "none" if field.endswith("activation") else value for field, value in settings.items()}
    with pytest.raises(ModelFolderError, match="found a difference of"):
        pack(source, tmp_path, "m", "1", settings=wrong, plain=True, golden=golden, **files)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("width", "sentence"),
    [(12, "fc.weight reads 12 numbers where 6 are handed on: a layer over several timesteps"), (9, "further inputs")],
)
def test_a_layer_over_more_than_the_last_output_is_told(tmp_path: Path, width: int, sentence: str) -> None:
    parts = {"gru": nn.GRU(3, 6), "fc": nn.Linear(width, 2)}
    torch.save(nn.ModuleDict(parts).state_dict(), tmp_path / "saved.pt")
    settings = {"task": "regression"}
    with pytest.raises(ModelFolderError, match=sentence):
        pack(tmp_path / "saved.pt", tmp_path, "m", "1", settings=settings, plain=True, preprocessor="identity")


def test_an_activation_in_front_needs_a_layer_there(tmp_path: Path) -> None:
    torch.save(nn.ModuleDict({"gru": nn.GRU(3, 6), "fc": nn.Linear(6, 2)}).state_dict(), tmp_path / "saved.pt")
    settings = {"task": "regression", "input.activation": "relu"}
    with pytest.raises(ModelFolderError, match=r"setting input\.activation: found no object input"):
        pack(tmp_path / "saved.pt", tmp_path, "m", "1", settings=settings, plain=True, preprocessor="identity")


def write_files(
    folder: Path, answer: Answer, parts: dict[str, nn.Module], output: str
) -> tuple[Path, Path, dict[str, object]]:
    """Write a state dict and what PyTorch computes with it, and return these and the other files of `pack`."""
    torch.manual_seed(9)
    network, text = nn.ModuleDict(parts).eval(), "embedding" in parts or "i2h" in parts
    for parameter in network.parameters():
        nn.init.uniform_(parameter, -0.8, 0.8)
    inputs = torch.randint(SIZE, (3, 7)) if text else torch.randn(3, 7, 3)
    with torch.no_grad():
        vectors = {"inputs.ids" if text else "inputs.values": inputs, f"outputs.{output}": answer(network, inputs)}
    torch.save(network.state_dict(), folder / "saved.pt")
    write_tensor_file(folder / "golden.safetensors", vectors, {"tolerance": "1e-5"})
    if not text:
        return folder / "saved.pt", folder / "golden.safetensors", {"preprocessor": "identity"}
    write_tokenizer(folder / "tokenizer.json", WORDS)
    return folder / "saved.pt", folder / "golden.safetensors", {"tokenizer": folder / "tokenizer.json"}
