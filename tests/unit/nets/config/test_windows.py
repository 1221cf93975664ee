"""Windows and padding in config.json: an error names the field, its value and what was expected."""

import re
from typing import Any

import pytest

from service.domain.errors import ModelFolderError
from service.nets.config.architecture_config import MAX_WINDOW
from tests.forecast_folders import forecaster_fields
from tests.registered import build_config, with_state

LANGUAGE: dict[str, Any] = {
    "format_version": 1,
    "task": "next-word",
    "architecture": "language-model",
    "cell": "gru",
    "num_layers": 1,
    "input_size": 6,
    "hidden_size": 8,
    "embedding_size": 6,
    "vocab_size": 20,
    "special_tokens": {"pad": "<pad>"},
}
PADDING = {"side": "left", "token": "<pad>", "length": 5}
TRANSLATION: dict[str, Any] = {"format_version": 1, "task": "translation", "architecture": "encoder-decoder"}


def state_of(fields: dict[str, Any]) -> list[tuple[str, list[int]]]:
    complete = with_state(fields, "place")
    build_config(complete, "place")
    return [(entry["name"], entry["shape"]) for entry in complete["state"]]


@pytest.mark.parametrize("fields", [{"window": 5}, {"padding": PADDING}, {"padding": PADDING, "window": 5}], ids=str)
def test_a_session_of_a_language_model_stores_its_last_tokens(fields: dict[str, Any]) -> None:
    expected = [("window", [5]), ("inputs", [1]), ("features", [8]), ("log_normaliser", [1])]
    assert state_of({**LANGUAGE, **fields}) == expected


def test_a_session_of_a_forecaster_stores_its_last_rows_as_the_network_reads_them() -> None:
    fields = forecaster_fields(features=["a", "b"], missing_indicator=True, window=24)
    assert state_of(fields) == [("window", [24, 4]), ("inputs", [1]), ("features", [8]), ("last", [2])]


@pytest.mark.parametrize("fields", [LANGUAGE, forecaster_fields()], ids=["language", "forecaster"])
def test_no_window_is_the_same_as_none_stated(fields: dict[str, Any]) -> None:
    assert with_state({**fields, "window": None}, "place")["state"] == with_state(fields, "place")["state"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bidirectional": True, "readout": "last"}, "bidirectional: found true, expected false, or a window: without"),
        ({"bidirectional": True, "window": 5}, "readout: found nothing, expected last or last_output, since the last"),
        ({"readout": "last", "window": 5}, "readout: found last, expected null: the last layer reads in one direction"),
        ({"readout": "mean"}, "readout: found \"mean\", expected 'last' or 'last_output'"),
    ],
    ids=["no window", "no readout", "one direction", "another readout"],
)
def test_a_forecaster_of_both_directions_needs_a_window_and_a_readout(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFolderError, match=re.escape(message)):
        build_config(with_state(forecaster_fields(**fields), "place"), "place")


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"window": 0}, "window: found 0, expected greater than or equal to 1"),
    ({"window": MAX_WINDOW + 1}, f"window: found {MAX_WINDOW + 1}, expected less than or equal to {MAX_WINDOW}"),
    ({"window": 2.5}, "window: found 2.5, expected a valid integer"),
    ({"window": "none"}, 'window: found "none", expected a valid integer'),
    ({"padding": {**PADDING, "length": 0}}, "padding.length: found 0, expected greater than or equal to 1"),
    ({"padding": {**PADDING, "side": "both"}}, "padding.side: found \"both\", expected 'left' or 'right'"),
    ({"padding": {"side": "left", "length": 5}}, "padding.token: found nothing, expected this field"),
    ({"padding": {**PADDING, "value": 0}}, "padding.value: found 0, expected no such field here"),
    ({"padding": PADDING, "window": 6}, "window: found 6, expected 5, the length of padding, or no window beside"),
    ({"padding": {**PADDING, "token": "the"}}, "padding.token: found the, expected <pad>, the pad of special_tokens"),
]


@pytest.mark.parametrize(("fields", "message"), MISTAKES, ids=[message[:40] for _, message in MISTAKES])
def test_a_wrong_window_is_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFolderError) as refused:
        with_state({**LANGUAGE, **fields}, "place")
    assert str(refused.value).startswith(f"place: {message}")


def test_a_forecaster_has_no_padding() -> None:
    with pytest.raises(ModelFolderError, match=r"padding: found .*, expected no such field"):
        with_state(forecaster_fields(padding=PADDING), "place")


def test_an_encoder_decoder_has_no_window() -> None:
    with pytest.raises(ModelFolderError, match="window: found 24, expected no such field"):
        with_state({**TRANSLATION, "window": 24}, "place")
