"""Networks whose sequences begin with a vector are recognised, packed, and proved by their trainer's golden vectors."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from service.domain.errors import ModelFolderError
from service.golden import record
from service.nets.models.language_model import LanguageModel
from service.tooling.inspect.report import Report, inspect
from service.tooling.pack.packer import pack
from tests.folders import WORDS
from tests.registered import read_checkpoint
from tests.vector_folders import HIDDEN, IDS, LAYERS, SIZE, VECTORS, make_captions, make_melodies

TANH = {"vector.activation": "tanh"}
FIRST_INPUT = {"vector.first_input": [{"size": HIDDEN}, {"batch_norm": True}]}


class Poems(nn.Module):
    """A GRU of two layers, both of which begin with the same projection of the vector; its linear layer has no bias."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(len(WORDS), 8)
        self.latent_to_hidden = nn.Linear(SIZE, HIDDEN, bias=False)
        self.rnn = nn.GRU(8, HIDDEN, LAYERS, batch_first=True)
        self.out = nn.Linear(HIDDEN, len(WORDS))

    def forward(self, vector: Tensor, ids: Tensor) -> Tensor:
        h = self.latent_to_hidden(vector).relu().repeat(LAYERS, 1, 1)
        return self.out(self.rnn(self.embed(ids), h)[0])


class Stories(nn.Module):
    """An LSTM with a layer for h of each recurrent layer; c begins as zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(WORDS), HIDDEN)
        self.init_h = nn.ModuleList(nn.Linear(SIZE, HIDDEN) for _ in range(LAYERS))
        self.lstm = nn.LSTM(HIDDEN, HIDDEN, LAYERS, batch_first=True)
        self.output = nn.Linear(HIDDEN, len(WORDS))

    def forward(self, vector: Tensor, ids: Tensor) -> tuple[Tensor, Any]:
        h = torch.stack([layer(vector) for layer in self.init_h])
        outputs, state = self.lstm(self.embedding(ids), (h, torch.zeros_like(h)))
        return self.output(outputs), state


def seeded(make: type[nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return make().eval()


def prepare(root: Path, network: nn.Module) -> dict[str, Any]:
    """Save what a user has: a state dict, a word list, and golden vectors."""
    torch.save(network.state_dict(), root / "checkpoint.pt")
    (root / "words.txt").write_text("\n".join(WORDS), "utf-8")
    golden = record(network, {"vector": VECTORS, "ids": IDS}, root)
    files = {"source": root / "checkpoint.pt", "vocab": root / "words.txt", "golden": golden}
    return {**files, "models": root / "models", "name": "mine", "version": "1"}


NETWORKS: list[tuple[nn.Module, dict[str, Any], dict[str, Any]]] = [
    (make_melodies(), TANH, {"vector.activation": "none"}),
    (
        make_captions(),
        FIRST_INPUT,
        {"vector.first_input": [{"size": HIDDEN, "activation": "relu"}, {"batch_norm": True}]},
    ),
    (
        seeded(Poems),
        {"vector.activation": "relu", "vector.states": ["h_l0", "h_l1"]},
        {"vector.activation": "relu", "vector.states": ["h_l0"]},
    ),
    (seeded(Stories), {"vector.activation": "none"}, {"vector.activation": "tanh"}),
]


@pytest.mark.parametrize(("network", "right", "wrong"), NETWORKS, ids=[type(one[0]).__name__ for one in NETWORKS])
def test_the_right_statement_is_proved_and_a_wrong_one_is_refused(
    tmp_path: Path, network: nn.Module, right: dict[str, Any], wrong: dict[str, Any]
) -> None:
    arguments = prepare(tmp_path, network)
    assert pack(**arguments, settings=right).verification.verified
    with pytest.raises(ModelFolderError, match="found a difference"):
        pack(**{**arguments, "version": "2"}, settings=wrong)


@pytest.mark.parametrize(
    ("network", "fields", "guessed"),
    [
        (make_melodies(), {"initial_state": "vector", "size": SIZE}, {"vector.activation"}),
        (seeded(Poems), {"initial_state": "vector", "size": SIZE}, {"vector.activation", "vector.states"}),
        (make_captions(), {"initial_state": None, "size": SIZE}, {"vector.first_input"}),
    ],
    ids=["all layers", "each layer", "first input"],
)
def test_inspect_says_what_has_to_be_stated(
    tmp_path: Path, network: nn.Module, fields: dict[str, Any], guessed: set[str]
) -> None:
    arguments = prepare(tmp_path, network)
    report = inspect(arguments["source"])
    assert isinstance(report, Report)
    assert report.proposal is not None
    config = report.proposal.config
    assert {"initial_state": config.get("initial_state"), "size": config["vector"]["size"]} == fields
    assert guessed <= {*report.proposal.guessed}
    with pytest.raises(ModelFolderError, match=next(iter(guessed)).replace(".", r"\.")):
        pack(**{**arguments, "golden": None})


def test_golden_vectors_prove_the_activation_behind_the_layers(tmp_path: Path) -> None:
    packed = pack(**prepare(tmp_path, make_melodies()))
    assert packed.verification.verified
    assert read_checkpoint(packed.path).config.vector.activation == "tanh"


def test_layers_of_other_names_are_stated_by_settings(tmp_path: Path) -> None:
    network = make_melodies()
    renamed = {
        f"{name.replace('init_h', 'first').replace('init_c', 'second')}": one
        for name, one in network.state_dict().items()
    }
    arguments = prepare(tmp_path, network)
    torch.save(renamed, arguments["source"])
    maps = [r"^first=vector.initial.h", r"^second=vector.initial.c"]
    settings = {"initial_state": "vector", "vector": {"size": SIZE, "activation": "tanh"}}
    packed = pack(**arguments, maps=maps, settings=settings)
    assert packed.verification.verified
    assert any("vector.initial.h.weight is written for h_l0, h_l1" in note for note in packed.notes)


def test_a_layer_of_a_wrong_height_is_told(tmp_path: Path) -> None:
    arguments = prepare(tmp_path, make_melodies())
    settings = {**TANH, "vector.states": ["h_l0", "c_l0"]}
    with pytest.raises(ModelFolderError, match=r"vector.initial.h.weight: found 24 rows, expected 12 rows, of h_l0"):
        pack(**arguments, settings=settings)


@pytest.mark.parametrize("outputs", ["before", "after", "both"])
def test_logits_may_stand_before_or_after_each_token(tmp_path: Path, outputs: str) -> None:
    """A trainer's network reads the vector and all tokens but the last, or all of them."""
    network = make_captions()
    arguments = prepare(tmp_path, network)
    both = torch.cat([IDS, IDS[:, :1]], 1)
    logits, state = network(VECTORS, both if outputs != "before" else IDS)
    found = {"outputs.logits": logits[:, 1:] if outputs == "after" else logits, "state.h": state}
    record(Fixed(found), {"vector": VECTORS, "ids": IDS}, tmp_path)
    folder = pack(**arguments, settings=FIRST_INPUT).path
    assert isinstance(read_checkpoint(folder).network, LanguageModel)


class Fixed(nn.Module):
    """A network that was run before."""

    def __init__(self, found: dict[str, Tensor]) -> None:
        super().__init__()
        self.found = found

    def forward(self, *_: Tensor) -> dict[str, Tensor]:
        return self.found
