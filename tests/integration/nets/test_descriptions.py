"""The layers of networks in words, against the configurations and weights that they are made from."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from service.nets.descriptions.layers import NetworkDescription
from service.nets.network_spec import parse_config
from service.tasks.architectures import ARCHITECTURES
from tests.e2e.task_models import write_task_models
from tests.folders import write_language_model
from tests.forecast_folders import write_forecaster
from tests.server import ROOT
from tests.translation_folders import write_encoder_decoder

BUNDLED = ("next-word", "taxi-forecast", "translate-en-fr")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_task_models(folder)
    write_encoder_decoder(folder, "fed", decoder={"input_feed": True}, attention="general")
    write_language_model(folder, "stacked", cell="gru", num_layers=3)
    write_forecaster(folder, "steps")
    write_forecaster(folder, "both", bidirectional=True, window=5, readout="last")
    write_forecaster(
        folder,
        "weather",
        features=["load", "rain"],
        known=["rain"],
        target=["load"],
        local={"size": 4},
        context={"size": 3},
    )
    for name in BUNDLED:
        (folder / name).symlink_to(ROOT / "models" / name)
    return folder


def describe(folder: Path) -> tuple[NetworkDescription, Any, nn.Module]:
    path = folder / "1" / "config.json"
    spec, config = parse_config(path.read_bytes(), str(path), ARCHITECTURES)
    return spec.describe(config), config, spec.make_network(config)


def layers_of(description: NetworkDescription, kind: str) -> list[dict[str, Any]]:
    return [layer for part in description.to_json()["parts"] for layer in part["layers"] if layer["kind"] == kind]


def test_each_layer_reads_what_the_one_before_returns_or_tells_what_else(models: Path) -> None:
    for folder in models.iterdir():
        description = describe(folder)[0]
        for part in description.parts:
            for before, layer in pairwise(part.layers):
                if layer.reads is not None and layer.inputs is not None:
                    own = {name: size for name, size in layer.reads.items() if name != "encoder"}
                    assert layer.inputs == sum(own.values()), (folder.name, layer)
                elif layer.kind != "graph" and part.name != "vector":
                    assert layer.inputs == before.outputs, (folder.name, layer)


def test_the_layers_are_those_of_the_network(models: Path) -> None:
    for folder in models.iterdir():
        description, config, network = describe(folder)
        assert description.state == tuple(config.session_state())
        modules = [*network.modules()]
        tables = {tuple(table.shape) for name, table in network.named_parameters() if "embedding.weight" in name}
        told = {(layer["vocabulary"], layer["outputs"]) for layer in layers_of(description, "embedding")}
        assert told == tables, folder.name
        if graphs := layers_of(description, "graph"):
            assert [len(graph["tensors"]["states"]) for graph in graphs] == [len(config.state)]
            continue
        stacks = [module for module in modules if type(module).__name__ == "RnnStack"]
        recurrent = layers_of(description, "recurrent")
        assert sum(layer["depth"] for layer in recurrent) == sum(stack.layout.depth for stack in stacks), folder.name
        assert recurrent[-1]["outputs"] == stacks[-1].layout.output_size()


def test_an_encoder_decoder_tells_its_bridge_and_its_attention() -> None:
    description = describe(ROOT / "models" / "translate-en-fr")[0]
    assert [part.name for part in description.parts] == ["encoder", "bridge", "decoder"]
    encoder, decoder = layers_of(description, "recurrent")
    assert (encoder["bidirectional"], encoder["depth"], encoder["outputs"]) == (True, 2, 512)
    assert (decoder["initial_state"], decoder["hidden_size"]) == ("bridge", 512)
    (attention,) = layers_of(description, "attention")
    assert (attention["method"], attention["reads"]) == ("general", {"encoder": 512, "output": 512})
    assert layers_of(description, "linear")[0]["reads"] == {"context": 512, "output": 512}
    assert layers_of(description, "output")[0]["tied"] is True


def test_a_decoder_that_reads_its_features_again_says_so(models: Path) -> None:
    decoder = layers_of(describe(models / "fed")[0], "recurrent")[-1]
    assert {*decoder["reads"]} == {"token", "features"}
    assert sum(decoder["reads"].values()) == decoder["inputs"]


def test_layers_of_one_kind_are_one_entry_and_others_their_own(tmp_path: Path) -> None:
    write_language_model(tmp_path, "mixed", cell="gru", num_layers=3, hidden_size=[8, 8, 12])
    recurrent = layers_of(describe(tmp_path / "mixed")[0], "recurrent")
    assert [(layer["depth"], layer["hidden_size"], layer["outputs"]) for layer in recurrent] == [(2, 8, 8), (1, 12, 12)]


def test_an_input_of_rows_names_its_columns_in_order(models: Path) -> None:
    for name in ("taxi-forecast", "activity", "graph"):
        description, config, _ = describe(models / name)
        (read,) = layers_of(description, "input")
        assert read["features"] == config.features
        assert "known" not in read
    assert layers_of(describe(models / "weather")[0], "input")[0]["known"] == ["rain"]
