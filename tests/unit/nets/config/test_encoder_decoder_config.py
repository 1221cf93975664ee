"""config.json of an encoder-decoder: an error names the wrong field, its value and what was expected."""

import json
from typing import Any

import pytest

from service.domain.errors import ModelFolderError
from tests.registered import build_config, with_state

SIDE: dict[str, Any] = {"cell": "lstm", "input_size": 320, "embedding_size": 320}
#: What the bundled model's recipe writes.
BUNDLED: dict[str, Any] = {
    "format_version": 1,
    "task": "translation",
    "architecture": "encoder-decoder",
    "encoder": {
        **SIDE,
        "num_layers": 2,
        "hidden_size": 256,
        "bidirectional": True,
        "vocab_size": 8000,
        "tokenizer": "source_tokenizer.json",
    },
    "decoder": {
        **SIDE,
        "num_layers": 1,
        "hidden_size": 512,
        "vocab_size": 6000,
        "tokenizer": "target_tokenizer.json",
        "tie_weights": True,
        "input_feed": False,
    },
    "bridge": "concat",
    "attention": "general",
    "combine": {"size": 320, "activation": "tanh"},
    "special_tokens": {"unknown": "<unk>", "begin": "<s>", "end": "</s>"},
    "state": [{"name": name, "shape": [512], "dtype": "float32"} for name in ("h_l0", "c_l0")],
    "dtype": "float32",
}


def changed(path: str, value: object) -> dict[str, Any]:
    fields = json.loads(json.dumps(BUNDLED))
    *sections, field = path.split(".")
    section = fields
    for name in sections:
        section = section[name]
    section[field] = value
    return fields


def test_the_bundled_models_config_is_read() -> None:
    config = build_config(BUNDLED, "place")
    assert [spec.name for spec in config.session_state()] == ["h_l0", "c_l0"]
    assert config.companion_files == ("source_tokenizer.json", "target_tokenizer.json")
    layers = config.session_layers
    assert (layers.cell, layers.num_layers, layers.hidden_size) == ("lstm", 1, 512)


MISTAKES: list[tuple[str, object, str]] = [
    ("encoder.cell", "LSTM", "encoder.cell: found \"LSTM\", expected 'rnn_tanh', 'rnn_relu', 'lstm' or 'gru'"),
    ("encoder.tie_weights", True, "encoder.tie_weights: found true, expected no such field here"),
    ("encoder.tokenizer", "../x.json", 'encoder.tokenizer: found "../x.json", expected'),
    ("encoder.input_size", 64, "encoder.input_size: found 64, expected 320, embedding_size"),
    ("encoder.hidden_size", [256] * 3, "encoder.hidden_size: found 3 sizes, expected num_layers (2) of them"),
    ("encoder.num_layers", 0, "encoder.num_layers: found 0, expected greater than or equal to 1"),
    ("decoder.input_feed", True, "decoder.input_size: found 320, expected 640, embedding_size and the features fed"),
    ("decoder.bidirectional", True, "decoder.bidirectional: found true, expected false"),
    ("decoder.proj_size", 600, "decoder.proj_size: found 600, expected less than hidden_size (512)"),
    ("decoder.connection", "residual", "decoder.connection: found residual, expected none"),
    ("decoder.num_layers", 3, "decoder.num_layers: found 3, expected at most the encoder's 2, since bridge is concat"),
    ("decoder.hidden_size", 100, "bridge: found concat, expected linear: the decoder's layer 0 has 100 numbers"),
    ("encoder.cell", "gru", "bridge: found concat, expected linear: an lstm needs a cell state"),
    ("attention", "luong", "attention: found \"luong\", expected 'dot', 'general', 'additive' or 'fixed'"),
    ("bridge", "sum", "bridge: found \"sum\", expected 'concat' or 'linear'"),
    ("combine.size", 100, "decoder.tie_weights: found true, expected false: the output layer reads 100 numbers"),
    ("special_tokens", {"end": "</s>"}, "special_tokens: found no begin, expected one"),
    (
        "horizon",
        3,
        "horizon: found 3, expected no such field; the known ones are architecture, attention, attention_l",
    ),
    ("state", [], 'state: found [], expected [{"name": "h_l0"'),
]


@pytest.mark.parametrize(("path", "value", "message"), MISTAKES, ids=lambda value: str(value)[:50])
def test_an_error_names_the_wrong_field(path: str, value: object, message: str) -> None:
    with pytest.raises(ModelFolderError) as error:
        build_config(changed(path, value), "models/x/1/config.json")
    assert message in str(error.value)


def test_dot_attention_needs_equal_widths_and_input_feeding_needs_attention() -> None:
    fields = {**changed("decoder.hidden_size", 100), "attention": "dot", "bridge": "linear"}
    with pytest.raises(ModelFolderError, match="attention: found dot, expected general or additive"):
        build_config(fields, "place")
    fields = {**changed("decoder.input_feed", True), "attention": None}
    with pytest.raises(ModelFolderError, match=r"decoder\.input_feed: found true, expected false, or an attention"):
        build_config(fields, "place")


def test_input_feeding_adds_the_features_to_the_state() -> None:
    fields = changed("decoder.input_feed", True)
    fields["decoder"]["input_size"] = 640
    assert with_state(fields, "place")["state"][-1] == {"name": "attentional", "shape": [320], "dtype": "float32"}
