"""Reading of config.json: an error names each field that is wrong, its value and what was expected."""

import json
from typing import Any

import pytest

from service.domain.errors import ModelFolderError
from tests.registered import build_config, parse_config, with_state

BASE_CONFIG: dict[str, Any] = {
    "format_version": 1,
    "task": "next-word",
    "architecture": "language-model",
    "cell": "lstm",
    "num_layers": 2,
    "input_size": 256,
    "hidden_size": 256,
    "embedding_size": 256,
    "vocab_size": 10000,
    "tie_weights": True,
}


def complete(**changes: object) -> dict[str, Any]:
    return with_state({**BASE_CONFIG, **changes}, "place")


def test_the_bundled_model_is_described_by_ten_fields_and_its_state() -> None:
    config = build_config(complete(), "place")
    assert config.hidden_sizes == (256, 256)
    assert [(entry.name, entry.shape, entry.dtype) for entry in config.state or []] == [
        ("h_l0", [256], "float32"),
        ("c_l0", [256], "float32"),
        ("h_l1", [256], "float32"),
        ("c_l1", [256], "float32"),
        ("log_normaliser", [1], "float32"),
    ]


INVALID_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"format_version": 2}, "format_version: found 2, expected 1"),
    (
        {"task": "parsing"},
        "'embedding', 'next-word', 'translation', 'forecasting', 'tensor'; others are not served yet",
    ),
    ({"task": None}, "task: found null, expected one of 'classification', 'tagging'"),
    ({"architecture": "forecaster"}, "architecture: found \"forecaster\", expected 'language-model'"),
    ({"cell": "LSTM"}, "cell: found \"LSTM\", expected 'rnn_tanh', 'rnn_relu', 'lstm' or 'gru'"),
    ({"num_layers": "2"}, 'num_layers: found "2", expected a valid integer'),
    ({"num_layers": 0}, "num_layers: found 0, expected greater than or equal to 1"),
    ({"vocab_size": True}, "vocab_size: found true, expected a valid integer"),
    ({"vocab_size": 10**12}, "vocab_size: found 1000000000000, expected less than or equal to 16777216"),
    ({"hidden_size": 12.0}, "hidden_size: found 12.0, expected a positive integer, or a list of one per layer"),
    ({"hidden_size": []}, "hidden_size: found [], expected a positive integer, or a list of one per layer"),
    ({"hidden_size": [256, 0]}, "hidden_size: found [256, 0], expected a positive integer, or a list"),
    ({"hidden_size": [256] * 3}, "hidden_size: found 3 sizes, expected num_layers (2) of them, or one number"),
    ({"hiden_size": 3}, "hiden_size: found 3, expected no such field; the known ones are architecture, bias,"),
    ({"bias": 1}, "bias: found 1, expected a valid boolean"),
    ({"connection": "dense"}, "connection: found \"dense\", expected 'none', 'residual' or 'highway'"),
    ({"head": [{"size": 5, "activation": "wish"}]}, 'head.0.activation: found "wish", expected'),
    ({"head": [{}]}, "head.0: found {}, expected a size, an activation, layer_norm or batch_norm"),
    ({"head": [{"size": 5, "dropout": 0.1}]}, "head.0.dropout: found 0.1, expected no such field here"),
    ({"special_tokens": {"start": "<s>"}}, 'special_tokens: found {"start": "<s>"}, expected only the roles'),
    ({"special_tokens": {"begin": 1}}, "special_tokens.begin: found 1, expected a valid string"),
    ({"dtype": "float16"}, "dtype: found \"float16\", expected 'float32' or 'bfloat16'"),
    ({"cell": "gru", "proj_size": 8}, "proj_size: found 8, expected 0, since cell is gru"),
    ({"proj_size": 256}, "proj_size: found 256, expected less than hidden_size (256)"),
    ({"bidirectional": True}, "bidirectional: found true, expected false: a language model cannot read what comes"),
    ({"output_residual": True}, "output_residual: found true, expected false"),
    ({"input_size": 100}, "input_size: found 100, expected embedding_size (256), or input_projection true"),
    (
        {"hidden_size": 100, "tie_weights": False, "num_layers": 1, "connection": "residual"},
        "connection: found residual, expected none: no layer's output is as wide as its input",
    ),
    ({"hidden_size": 100}, "tie_weights: found true, expected false: the output layer reads 100 numbers, an embedding"),
    ({"head": [{"size": 9}]}, "tie_weights: found true, expected false: the output layer reads 9 numbers"),
]


@pytest.mark.parametrize(("changes", "message"), INVALID_FIELDS, ids=lambda value: str(value)[:50])
def test_an_error_names_the_wrong_field(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFolderError) as error:
        build_config({**complete(), **changes}, "models/x/1/config.json")
    assert str(error.value).startswith("models/x/1/config.json: ")
    assert message in str(error.value)


@pytest.mark.parametrize("field", ["format_version", "architecture", "cell", "num_layers", "hidden_size", "vocab_size"])
def test_a_missing_field_is_named(field: str) -> None:
    fields = complete()
    del fields[field]
    with pytest.raises(ModelFolderError, match=f"{field}: found nothing, expected this field"):
        build_config(fields, "place")


def test_a_config_without_its_state_is_refused() -> None:
    fields = complete()
    del fields["state"]
    with pytest.raises(ModelFolderError, match=r'state: found nothing, expected \[{"name": "h_l0"'):
        build_config(fields, "place")


def test_a_state_that_differs_from_the_sizes_is_refused() -> None:
    fields = complete()
    fields["state"][0]["shape"] = [255]
    with pytest.raises(ModelFolderError, match=r'found \[{"name": "h_l0", "shape": \[255\].*expected \[.*\[256\]'):
        build_config(fields, "place")


def test_an_error_names_all_wrong_fields() -> None:
    with pytest.raises(ModelFolderError, match=r"cell: found .*; num_layers: found "):
        build_config({**complete(), "cell": 1, "num_layers": -1}, "place")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found no readable JSON"),
        (b"\xff\xfe\xff", "found no readable JSON"),
        (b"[1]", r"found \[1\], expected a JSON object"),
        (b'{"cell": "gru", "cell": "lstm"}', "the field 'cell' stands twice"),
    ],
)
def test_content_that_is_no_json_object_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ModelFolderError, match=message):
        parse_config(content, "place")


def test_a_written_config_is_read_back() -> None:
    fields = complete(cell="gru", hidden_size=[256, 64], tie_weights=False, head=[{"size": 8, "activation": "tanh"}])
    config = parse_config(json.dumps(fields).encode(), "place")
    assert [spec.name for spec in config.session_state()] == ["h_l0", "h_l1", "features", "log_normaliser"]
    assert config.features_size == 8
