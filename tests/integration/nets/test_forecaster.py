"""Forecasters against the one of tests/forecast_trainer.py: torch.nn, and preprocessing written out row after row."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.domain.errors import ModelFolderError
from tests.forecast_folders import write_forecaster
from tests.registered import read_checkpoint
from tests.rounding import bound, largest_golden

LEVELS = [0.05, 0.25, 0.5, 0.75, 0.95]
MANY: dict[str, Any] = {"features": ["a", "b", "c"], "target": ["a", "c"]}
TWO: dict[str, Any] = {"features": ["a", "b"], "target": ["a"]}
CONTEXT: dict[str, Any] = {"context": {"size": 3, "activation": "tanh"}}
LOCAL: dict[str, Any] = {**CONTEXT, "local": {"size": 6, "activation": "relu"}}
PATHS: dict[str, Any] = {"decoding": "autoregressive"}
CALENDAR = ["hour_of_day", "day_of_week", "day_of_year"]
SETTINGS: list[dict[str, Any]] = [
    *({"cell": cell} for cell in ("rnn_tanh", "rnn_relu", "lstm", "gru")),
    *({"distribution": kind} for kind in ("point", "gaussian", "student_t")),
    {"distribution": "quantiles", "quantiles": LEVELS},
    {"num_layers": 2, "bias": False},
    {"num_layers": 2, "hidden_size": [8, 5]},
    {"proj_size": 3},
    {"layer_norm": True},
    {"num_layers": 2, "connection": "residual"},
    {"num_layers": 2, "connection": "highway"},
    {"input_projection": True, "input_size": 6},
    {"head": [{"size": 5, "activation": "gelu"}, {"size": 4, "activation": "sigmoid"}]},
    {"head": [{"activation": "relu"}]},
    {"head": [{"layer_norm": True, "eps": 1e-3}, {"size": 5}, {"batch_norm": True, "activation": "elu"}]},
    {**MANY, "distribution": "quantiles", "quantiles": LEVELS},
    {**MANY, "missing_indicator": True},
    {"output_residual": True},
    {**MANY, "output_residual": True, "season": 3},
    {"season": 6, "output_residual": True, "horizon": 9},
    *({"calendar": [name]} for name in CALENDAR),
    {"calendar": CALENDAR, "frequency": "1d"},
    CONTEXT,
    LOCAL,
    {**LOCAL, "calendar": CALENDAR},
    {**LOCAL, **MANY, "known": ["b"], "season": 2, "calendar": ["hour_of_day"]},
    {**LOCAL, "features": ["a", "place"], "static": ["place"], "missing_indicator": True},
    PATHS,
    {**PATHS, "distribution": "student_t", "output_residual": True, "season": 4},
    {**PATHS, **MANY, "target": ["a"], "known": ["b"], "static": ["c"], "local": {"size": 4}, "calendar": CALENDAR},
    {"dtype": "float32", "frequency": None},
]
#: The longest sum of products: the inputs of a layer, its hidden state and two biases.
TERMS = 8 + 8 + 2
#: Two layers for each of nine rows; a layer, context, local, a head of two and the output for up to nine steps ahead.
PASSES = 2 * 9 + 9 * 6


@pytest.mark.parametrize("settings", SETTINGS, ids=json.dumps)
@pytest.mark.parametrize("missing", ["last", "mean"])
def test_computes_what_torch_computes(tmp_path: Path, settings: dict[str, Any], missing: str) -> None:
    checkpoint = read_checkpoint(write_forecaster(tmp_path, preprocessor={"missing": missing}, **settings))
    assert checkpoint.golden is not None
    assert checkpoint.golden.difference <= bound(largest_golden(checkpoint.path), TERMS, PASSES)


def test_half_precision_stays_near_its_trainer(tmp_path: Path) -> None:
    folder = write_forecaster(tmp_path, dtype="bfloat16", golden=False)
    assert not read_checkpoint(folder).verified
    assert read_checkpoint(folder).config.dtype == "bfloat16"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input_size": 2}, "input_size: found 2, expected 1 (features, indicators, calendar), or input_projection"),
        ({"target": ["other"]}, "target: found other, expected only names of features (load)"),
        ({"features": ["a", "b"], "target": ["b", "a"]}, "target: found ['b', 'a'], expected the order of features"),
        ({"features": ["a", "a"], "target": ["a"]}, "features: found ['a', 'a'], expected each name once"),
        (
            {**TWO, "known": ["a"], **LOCAL},
            "known: found a, expected no name that is in target",
        ),
        (
            {**TWO, **PATHS},
            "features: found b, expected only target, known and static ones",
        ),
        (
            {**TWO, "known": ["b"]},
            "local: found null, expected a layer that reads the known",
        ),
        ({"frequency": "often"}, "frequency: found often, expected null or a number of s, min, h or d"),
        ({"frequency": None, "calendar": ["hour_of_day"]}, "frequency: found null, expected one, since calendar"),
        ({"calendar": CALENDAR[::-1]}, "calendar: found"),
        ({"calendar": ["moon"]}, "calendar.0: found"),
        ({"quantiles": [0.5, 0.9]}, "quantiles: found [0.5, 0.9], expected none, since distribution is gaussian"),
        ({"distribution": "quantiles"}, "quantiles: found [], expected at least two levels inside (0, 1), ascending"),
        ({"distribution": "quantiles", "quantiles": [0.5, 0.1]}, "expected at least two levels"),
        ({"distribution": "poisson"}, "distribution: found"),
        ({**PATHS, **CONTEXT}, "context: found 3, expected null, since decoding is autoregressive"),
        ({"local": {"size": 3}}, "local: found 3, expected null, or a context that it reads"),
        ({**PATHS, "path_correlation": 0.5}, "path_correlation: found 0.5, expected 0"),
        ({"path_correlation": 1.0}, "path_correlation: found 1.0"),
        ({"horizon": 0}, "horizon: found 0"),
        ({"bidirectional": True}, "bidirectional: found true, expected false"),
        ({"embedding_size": 3}, "embedding_size: found 3, expected no such field"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_configuration_that_does_not_go_together_is_refused(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    folder = write_forecaster(tmp_path, golden=False)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | settings), "utf-8")
    with pytest.raises(ModelFolderError, match="expected") as caught:
        read_checkpoint(folder)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": ["other"]}, "features: found ['other'], expected ['load'] as in config.json"),
        ({"frequency": "1h"}, "frequency: found 1h, expected 30min as in config.json"),
        ({"mean": [1.0, 2.0]}, "mean: found [1.0, 2.0], expected 1 finite numbers"),
        ({"scale": [0.0]}, "scale.0: found 0.0"),
        ({"scale": []}, "scale: found [], expected 1 finite numbers"),
        ({"clamp": -1}, "clamp: found -1"),
        ({"missing": "guess"}, 'missing: found "guess"'),
        ({"extra": 1}, "extra: found 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_preprocessor_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    folder = write_forecaster(tmp_path)
    path = folder / "preprocessor.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | change), "utf-8")
    with pytest.raises(ModelFolderError) as caught:
        read_checkpoint(folder)
    assert message in str(caught.value)


def test_without_a_preprocessor_nothing_is_served(tmp_path: Path) -> None:
    folder = write_forecaster(tmp_path)
    (folder / "preprocessor.json").unlink()
    with pytest.raises(ModelFolderError, match=r"preprocessor\.json: cannot be read"):
        read_checkpoint(folder)


def test_the_preprocessor_belongs_to_the_fingerprint(tmp_path: Path) -> None:
    one = write_forecaster(tmp_path / "a", golden=False)
    other = write_forecaster(tmp_path / "b", preprocessor={"clamp": 4.0}, golden=False)
    assert read_checkpoint(one).fingerprint != read_checkpoint(other).fingerprint


@pytest.mark.parametrize(
    "change", [{"season": 3}, {"output_residual": True}, {"missing_indicator": True, "input_projection": True}], ids=str
)
def test_another_forward_pass_than_the_trainers_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    """The same weights, read as another network: golden vectors or shapes tell."""
    folder = write_forecaster(tmp_path)
    path = folder / "config.json"
    fields = json.loads(path.read_text("utf-8")) | change
    if fields.get("season"):
        fields["output_residual"] = True
        fields["state"].append({"name": "history", "shape": [3, 1], "dtype": "float32"})
    path.write_text(json.dumps(fields), "utf-8")
    with pytest.raises(ModelFolderError):
        read_checkpoint(folder)
