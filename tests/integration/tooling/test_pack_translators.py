"""Users' translation networks: inspected, packed without a config.json, loaded, their own golden vectors replayed."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from service.domain.errors import ModelFolderError
from service.model_folder.safetensors_io import write_tensor_file
from service.tooling.inspect.report import Report, inspect
from service.tooling.pack.packer import Packed, pack
from tests.translation_folders import write_encoder_decoder
from tests.user_translators import (
    SOURCE,
    TARGET,
    Additive,
    OpenNMT,
    Plain,
    Reversed,
    Tutorial,
    User,
    attend,
    write_subwords,
)

MARKS = {"unknown": "<unk>", "begin": "<s>", "end": "</s>"}


class Case:
    """What a user has in a folder: checkpoint, tokenizers, golden vectors."""

    def __init__(self, folder: Path, kind: type[User], width: int, *, shared: bool = False) -> None:
        self.folder, self.source = folder, folder / "saved.pt"
        names = ("tokenizer.json",) * 2 if shared else ("source_tokenizer.json", "target_tokenizer.json")
        texts = (f"{SOURCE} {TARGET}",) * 2 if shared else (SOURCE, TARGET)
        sizes = tuple(write_subwords(folder / name, text, 90) for name, text in zip(names, texts, strict=True))
        self.network = kind(*sizes)  # type: ignore[call-arg]  # the networks of the tests all take the two sizes
        torch.save(self.network.state_dict(), self.source)
        golden = self.network.golden((sizes[0], sizes[1]), width)
        write_tensor_file(folder / "golden.safetensors", golden, {"tolerance": "1e-4"})

    def pack(self, settings: dict[str, object], maps: tuple[str, ...] = ()) -> Packed:
        return pack(
            self.source,
            self.folder / "models",
            "mt",
            "1",
            settings={"special_tokens": MARKS, **settings},
            maps=maps,
            tokenizer=self.folder,
            golden=self.folder / "golden.safetensors",
        )

    def left(self) -> list[Path]:
        return sorted((self.folder / "models").rglob("*"))


def proposed(report: Report) -> dict[str, Any]:
    assert report.proposal is not None, report.looks_like
    assert report.looks_like == "an encoder-decoder, such as translation"
    assert report.render()
    assert json.dumps(report.to_dict())
    return report.proposal.config


def guessed(report: Report) -> set[str]:
    assert report.proposal is not None
    return {*report.proposal.guessed}


def test_two_lstms_without_attention(tmp_path: Path) -> None:
    case = Case(tmp_path, Plain, 8)
    report = inspect(case.source)
    config = proposed(report)
    assert (config["attention"], config["combine"], config["bridge"]) == (None, None, "concat")
    assert (config["encoder"]["num_layers"], config["decoder"]["embedding_size"]) == (2, 6)
    assert "special_tokens" in guessed(report)
    assert case.pack({}).verification.verified


def test_the_tutorials_state_dicts_side_by_side(tmp_path: Path) -> None:
    case = Case(tmp_path, Tutorial, 8)
    sides = {name: getattr(case.network, name).state_dict() for name in ("encoder", "decoder")}
    adam = torch.optim.Adam(case.network.parameters(), lr=0)
    case.network.decoder["out"](torch.ones(8)).sum().backward()  # type: ignore[operator, index]
    adam.step()
    torch.save({"iteration": 4, **sides, "en_opt": adam.state_dict()}, case.source)
    config = proposed(inspect(case.source))
    assert (config["decoder"]["cell"], config["attention"]) == ("gru", None)
    assert case.pack({}).verification.verified


def test_general_attention_on_the_query_with_input_feeding(tmp_path: Path) -> None:
    case = Case(tmp_path, OpenNMT, 10)
    whole = case.network.state_dict()
    parts = {name: one for name, one in whole.items() if not name.startswith("generator.")}
    generator = {name.removeprefix("generator."): one for name, one in whole.items() if name not in parts}
    torch.save({"model": parts, "generator": generator, "epoch": 13}, case.source)
    report = inspect(case.source)
    config = proposed(report)
    assert (config["attention"], config["decoder"]["input_feed"]) == ("general", True)
    assert {"combine", "decoder.input_feed", "special_tokens"} <= guessed(report)
    stated = {"combine": {"size": 10, "activation": "tanh"}, "decoder.input_feed": True}
    packed = case.pack(stated)
    assert packed.verification.verified
    assert "attention.weight is written transposed" in packed.notes
    assert "combine.bias is written as zeros: the checkpoint's layer has none" in packed.notes


def test_additive_attention_with_a_bias_in_every_layer(tmp_path: Path) -> None:
    case = Case(tmp_path, Additive, 19)
    report = inspect(case.source)
    config = proposed(report)
    assert (config["attention"], config["bridge"], config["combine"]) == ("additive", "linear", None)
    assert {"bridge_activation", "special_tokens"} <= guessed(report)
    assert "left out: copy_embed.weight" in report.render()
    packed = case.pack({"bridge": "linear"})
    assert packed.verification.verified
    assert any("attention.memory.bias is added to attention.query.bias" in note for note in packed.notes)
    assert any("attention.score.bias is left out" in note for note in packed.notes)


def test_one_embedding_for_both_sides_and_a_combine_layer_that_reads_the_query_first(tmp_path: Path) -> None:
    case = Case(tmp_path, Reversed, 8, shared=True)
    report = inspect(case.source)
    config = proposed(report)
    assert {"combine", "attention", "special_tokens"} <= guessed(report)
    assert config["decoder"]["tie_weights"]
    assert config["encoder"]["tokenizer"] == config["decoder"]["tokenizer"] == "tokenizer.json"
    stated: dict[str, object] = {"attention": "dot", "combine": {"size": 8, "activation": "tanh"}}
    with pytest.raises(ModelFolderError, match=r"golden.safetensors: .*found a difference of"):
        case.pack(stated)
    assert not case.left()
    packed = case.pack(stated, maps=(r"^concat\.weight=combine.weight.swapped",))
    assert packed.verification.verified
    assert "embedding.weight is written for both sides" in packed.notes


def test_what_cannot_be_known_is_proven_or_stated_wherever_it_is(tmp_path: Path) -> None:
    class Elman(Tutorial):
        def __init__(self, source: int, target: int) -> None:
            super().__init__(source, target)
            for side in (self.encoder, self.decoder):
                side["gru"] = nn.RNN(8, 8, batch_first=True, nonlinearity="relu")
            self.finish()

    case = Case(tmp_path, Elman, 8)
    with pytest.raises(ModelFolderError, match="found a difference of"):
        case.pack({"encoder.cell": "rnn_relu", "decoder.cell": "rnn_tanh"})
    with pytest.raises(ModelFolderError, match=r"setting bridge.cell: found no object bridge"):
        case.pack({"encoder.cell": "rnn_relu", "decoder.cell": "rnn_relu", "bridge.cell": 1})
    assert not case.left()
    packed = case.pack({})
    assert packed.verification.verified
    assert any("encoder.cell=rnn_relu, " in note and "decoder.cell=rnn_relu, " in note for note in packed.notes)
    assert any("do not show encoder.end (true | false): true is taken" in note for note in packed.notes)
    assert case.left() != []


def module(**parts: nn.Module) -> nn.ModuleDict:
    return nn.ModuleDict(parts)


def encoder(**more: nn.Module) -> nn.ModuleDict:
    return module(embedding=nn.Embedding(20, 6), rnn=nn.GRU(6, 8, batch_first=True), **more)


def decoder(width: int = 8, **more: nn.Module) -> nn.ModuleDict:
    """A decoder that reads `width` numbers and writes 30 words."""
    return module(embedding=nn.Embedding(30, 6), rnn=nn.GRU(width, 8), **more)


class Vector(nn.Module):
    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.v = nn.Parameter(torch.ones(*shape))


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        (
            {"encoder": encoder(), "decoder": decoder(14, out=nn.Linear(8, 30))},
            "read 8 numbers (attended memory, it seems) beside the 6 of the embedding; a context in front of the",
        ),
        (
            {"encoder": encoder(), "decoder": decoder(14, fc_out=nn.Linear(22, 30))},
            "its output layer reads 22 numbers and the embedding, which is not served; served is one behind",
        ),
        (
            {
                "encoder": encoder(),
                "decoder": decoder(
                    6, attn=module(joint=nn.Linear(16, 8), score=nn.Linear(8, 1)), out=nn.Linear(16, 30)
                ),
            },
            "decoder.attn.joint.weight reads decoder output and memory at once: cut its columns",
        ),
        (
            {
                "encoder": encoder(),
                "decoder": decoder(
                    6, attn=module(one=nn.Linear(8, 8), two=nn.Linear(8, 8), v=nn.Linear(8, 1)), out=nn.Linear(16, 30)
                ),
            },
            "the names decoder.attn.one.weight and decoder.attn.two.weight do not tell",
        ),
        (
            {
                "encoder": encoder(),
                "decoder": decoder(
                    6, attn=module(wa=nn.Linear(8, 5), ua=nn.Linear(8, 5), v=nn.Linear(5, 1)), out=nn.Linear(16, 30)
                ),
            },
            "decoder.attn.wa.weight is 8 -> 5, where an additive attention has 8 -> 8, the decoder's",
        ),
        (
            {
                "encoder": encoder(),
                "decoder": decoder(6, attn=module(query=nn.Linear(8, 8)), out=nn.Linear(16, 30)),
            },
            "decoder.attn.query.bias is added to the decoder's side",
        ),
        ({"encoder": encoder(), "decoder": decoder(6, out=nn.Linear(8, 30), extra=nn.Linear(3, 4))}, "find no place"),
        ({"encoder": encoder(), "decoder": decoder(6, out=nn.Linear(8, 30), x=Vector(2, 3, 4))}, "not known here"),
        (
            {"encoder": encoder(fc=nn.Linear(8, 8), fc2=nn.Linear(8, 8)), "decoder": decoder(6, out=nn.Linear(8, 30))},
            "between the sides stand encoder.fc.weight, encoder.fc2.weight, where one layer for each of h_l0 is served",
        ),
        (
            {"one": encoder(), "two": decoder(6, out=nn.Linear(8, 30))},
            "one.rnn. and two.rnn. do not tell which of the two is the encoder",
        ),
        (
            {"encoder": encoder(top=nn.GRU(8, 9)), "decoder": decoder(6, out=nn.Linear(8, 30))},
            "it has 3 recurrent groups (encoder.rnn., encoder.top., decoder.rnn.)",
        ),
        (
            {"encoder": encoder(), "decoder": decoder(6, out=nn.Linear(8, 30)), "embedding": nn.Embedding(20, 6)},
            "embedding.weight is a third embedding",
        ),
        (
            {"encoder": nn.GRU(6, 8), "decoder": decoder(6, out=nn.Linear(8, 30))},
            "its embeddings (decoder.embedding.weight) do not give one to each side",
        ),
        (
            {
                "encoder": module(embedding=nn.Embedding(20, 6), rnn=nn.GRU(6, 8, bidirectional=True)),
                "decoder": decoder(6, out=nn.Linear(8, 30)),
            },
            "bridge: found concat, expected linear: the decoder's layer 0 has 8 numbers, the encoder's 0 gives 16",
        ),
    ],
    ids=str,
)
def test_what_is_not_served_is_said_and_gets_no_config(
    tmp_path: Path, parts: dict[str, nn.Module], reason: str
) -> None:
    torch.save(nn.ModuleDict(parts).state_dict(), tmp_path / "saved.pt")
    report = inspect(tmp_path / "saved.pt")
    assert report.looks_like.startswith("an encoder-decoder, such as translation: ")
    assert reason in report.looks_like
    assert report.proposal is None
    with pytest.raises(ModelFolderError, match=r"expected a config\.json beside the checkpoint"):
        pack(tmp_path / "saved.pt", tmp_path / "models", "mt", "1", tokenizer=tmp_path)
    assert not (tmp_path / "models").exists()


def test_a_square_matrix_on_an_unnamed_side_has_to_be_stated(tmp_path: Path) -> None:
    class Square(User):
        def __init__(self, source: int, target: int) -> None:
            super().__init__()
            self.encoder = module(emb=nn.Embedding(source, 6), rnn=nn.GRU(6, 8, batch_first=True))
            self.decoder = module(emb=nn.Embedding(target, 6), rnn=nn.GRU(6, 8, batch_first=True))
            self.attn = nn.Linear(8, 8, bias=False)
            self.fc = nn.Linear(16, target)
            self.finish()

        def features(self, query: Tensor, memory: Tensor) -> Tensor:
            context = attend(torch.einsum("bd,bsd->bs", self.attn(query), memory), memory)
            return torch.cat([context, query], -1)

        def parts(self) -> tuple[nn.Module, ...]:  # type: ignore[override]
            return self.encoder["emb"], self.encoder["rnn"], self.decoder["emb"], self.decoder["rnn"], self.fc

    case = Case(tmp_path, Square, 16)
    report = inspect(case.source)
    assert {"attention", "special_tokens"} <= guessed(report)
    assert any("attention.weight.T" in fact for fact in report.unknown)
    with pytest.raises(ModelFolderError, match="found a difference of"):
        case.pack({"attention": "general"})
    assert case.pack({"attention": "general"}, maps=("^attn.weight=attention.weight.T",)).verification.verified


@pytest.mark.parametrize(
    "fields",
    [
        {"attention": "general", "decoder": {"input_feed": True}},
        {"attention": "additive", "combine": None},
        {"attention": "additive", "decoder": {"tie_weights": True}, "encoder": {"cell": "gru"}},
        {"attention": "dot", "bridge": "linear", "encoder": {"cell": "rnn_tanh"}},
        {"attention": None, "combine": None, "bridge": "linear", "decoder": {"cell": "gru", "num_layers": 2}},
        {"attention": None, "bridge": "linear", "decoder": {"num_layers": 2, "hidden_size": 9}},
    ],
    ids=str,
)
def test_our_own_weights_are_recognised(tmp_path: Path, fields: dict[str, Any]) -> None:
    folder = write_encoder_decoder(tmp_path / "own", **fields)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    report = inspect(folder / "model.safetensors")
    found = proposed(report)
    assert report.proposal is not None
    assert all(old == new for old, new in report.proposal.names.items())
    settings = {name: config[name] for name in ("special_tokens", "combine", "attention", "bridge")}
    settings |= {f"{side}.cell": config[side]["cell"] for side in ("encoder", "decoder")}
    settings["decoder.input_feed"] = found["decoder"]["input_feed"]
    packed = pack(
        folder / "model.safetensors",
        tmp_path / "models",
        "mt",
        "1",
        settings=settings,
        tokenizer=folder,
        golden=folder / "golden.safetensors",
    )
    assert packed.verification.verified


def test_a_preprocessor_is_refused_for_text(tmp_path: Path) -> None:
    case = Case(tmp_path, Plain, 8)
    with pytest.raises(
        ModelFolderError, match=r"identity: found a preprocessor, expected none: translation reads text"
    ):
        pack(case.source, tmp_path / "models", "mt", "1", plain=True, preprocessor="identity")
    assert not (tmp_path / "models").exists()
