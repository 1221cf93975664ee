"""Small models of every task and cell, each with the state of a session and its file."""

import contextlib
import json
from dataclasses import dataclass
from typing import Any

from service.domain.errors import InvalidRequest
from service.domain.operations import Operation, Outcome, Predict, SeriesInput, TensorInput, TextInput
from service.domain.rfc3339 import parse_rfc3339
from service.domain.tensors import make_tensor
from service.engine.loaded_models import LoadedModel
from service.engine.runner import run_operation
from service.engine.state_export import SafetensorsStateFiles
from service.nets.config.rnn_spec import StateSpec
from tests.vector_folders import VECTORS

TIME = parse_rfc3339("2026-03-02T08:00:00Z")
HALF_HOUR = 1_800_000_000
LANGUAGE: dict[str, dict[str, Any]] = {
    "lstm": {"cell": "lstm", "num_layers": 3},
    "gru": {"cell": "gru", "hidden_size": [12, 8, 20]},
    "tanh": {"cell": "rnn_tanh"},
    "relu": {"cell": "rnn_relu"},
    "projected": {"cell": "lstm", "proj_size": 8},
    "narrow": {"cell": "gru", "dtype": "bfloat16", "connection": "residual"},
    "head": {"cell": "gru", "layer_norm": True, "head": [{"size": 10, "activation": "tanh"}]},
    "window": {"cell": "lstm", "window": 5},
    "padded": {"cell": "gru", "padding": {"side": "right", "token": "the", "length": 4}},
}
FORECASTERS: dict[str, dict[str, Any]] = {
    "sensor": {"cell": "lstm", "num_layers": 2, "season": 3, "calendar": ["hour_of_day"], "missing_indicator": True},
    "residual": {"cell": "gru", "season": 3, "output_residual": True, "distribution": "student_t"},
    "walk": {"cell": "rnn_tanh", "decoding": "autoregressive", "distribution": "student_t", "frequency": None},
    "recent": {"cell": "lstm", "window": 3, "season": 2, "missing_indicator": True},
    "site": {
        "features": ["load", "wind"],
        "target": ["load", "wind"],
        "distribution": "quantiles",
        "quantiles": [0.1, 0.5, 0.9],
    },
}
TRANSLATORS: dict[str, dict[str, Any]] = {
    "mt": {},
    "fed": {"attention": "additive", "decoder": {"input_feed": True}},
    "plain": {"attention": None, "combine": None, "encoder": {"cell": "gru"}},
}
#: A text classifier, a graph, and melodies that begin with a vector.
OTHERS = ["mood", "speech", "styles"]
NAMES = [*LANGUAGE, *FORECASTERS, *TRANSLATORS, *OTHERS]
OPENINGS = {"translation": TextInput(text="I am hungry."), "styles": TextInput(vector=tuple(VECTORS[0].tolist()))}


@dataclass(frozen=True)
class Model:
    """A loaded model, the state of a session that took a few steps, and its file."""

    files: SafetensorsStateFiles
    loaded: LoadedModel
    state: bytes
    content: bytes
    specs: list[StateSpec]

    @property
    def whole_numbers(self) -> set[str]:
        """The names of the tensors that hold whole numbers."""
        return {spec.name for spec in self.specs if spec.maximum is not None}

    def read(self, content: bytes) -> bytes:
        return self.files.read(content).state(self.loaded.version)


def run(loaded: LoadedModel, operation: Operation, state: bytes | None) -> Outcome:
    task = loaded.task
    return run_operation(task, operation, task.initial_state if state is None else task.state_codec.from_bytes(state))


def make_step(loaded: LoadedModel, count: int = 1, start: int = 0) -> Predict:
    """A step of a session of this model; a forecaster gets `count` rows, `start` rows after the first."""
    if loaded.version.task == "tensor":
        return Predict(TensorInput((make_tensor("frame", "FP32", (3,), [0.5, -1.0, float(start)]),)))
    if loaded.version.task != "forecasting":
        return Predict(TextInput(text=["the dog", "J'ai"][loaded.version.task == "translation"]))
    width = len(loaded.task.preprocessor.config.features)
    rows = tuple(tuple(100.0 + 3 * row + column for column in range(width)) for row in range(count))
    times = tuple(TIME + HALF_HOUR * (start + row) for row in range(count))
    return Predict(SeriesInput(rows, timestamps=times if loaded.version.name == "sensor" else None))


def assert_continues(model: Model, state: bytes) -> None:
    """Assert that a prediction and two steps from a state have outputs of finite numbers and states to store.

    A prediction without input may be refused, for example before the first row of a stream.
    """
    with contextlib.suppress(InvalidRequest):
        json.dumps(run(model.loaded, Predict(None), state).output, allow_nan=False)
    for number in range(2):
        outcome = run(model.loaded, make_step(model.loaded, 2, 4 + 2 * number), state)
        json.dumps(outcome.output, allow_nan=False)
        state = outcome.state
        model.loaded.task.state_codec.from_bytes(state)
