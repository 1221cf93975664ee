"""States as files: whole, exact, and of everything else refused; on small real networks of every task and cell."""

import json
import random
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load

from service.application.sessions.state_metadata import read_metadata
from service.domain.errors import InvalidRequest, StateCorrupted
from service.domain.operations import OpenSession, Operation, Outcome, Predict, SeriesInput, TextInput
from service.domain.rfc3339 import BEGIN, END, parse_rfc3339
from service.engine.registry import LoadedModel
from service.engine.runner import run_operation
from service.engine.state_export import MAX_HEADER_BYTES, SafetensorsStateFiles
from service.model_folder.safetensors_io import tensor_file
from service.tasks.limits import TextLimits
from tests.folders import load_registry, write_language_model
from tests.forecast_folders import write_forecaster
from tests.state_files import mutated, put_together, taken_apart, with_metadata, with_tensors
from tests.translation_folders import write_encoder_decoder

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
}
FORECASTERS: dict[str, dict[str, Any]] = {
    "sensor": {"cell": "lstm", "num_layers": 2, "season": 3, "calendar": ["hour_of_day"], "missing_indicator": True},
    "residual": {"cell": "gru", "season": 3, "output_residual": True, "distribution": "student_t"},
    "walk": {"cell": "rnn_tanh", "decoding": "autoregressive", "distribution": "student_t", "frequency": None},
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
TOLD = {
    "format_version": "1",
    "model": "m",
    "version": "1",
    "task": "t",
    "fingerprint": f"sha256:{'ab' * 32}",
    "dtype": "float32",
    "step": "3",
    "timesteps": "9",
}
NAMES = [*LANGUAGE, *FORECASTERS, *TRANSLATORS]


@dataclass(frozen=True)
class Model:
    """A loaded model, the state of a session that took a few steps, and its file."""

    files: SafetensorsStateFiles
    loaded: LoadedModel
    state: bytes
    content: bytes

    def read(self, content: bytes) -> bytes:
        return self.files.read(content).state(self.loaded.version)


def run(loaded: LoadedModel, operation: Operation, state: bytes | None) -> Outcome:
    task = loaded.task
    return run_operation(task, operation, task.initial_state if state is None else task.state_codec.from_bytes(state))


def further(loaded: LoadedModel, count: int = 1, at: int = 0) -> Predict:
    """A step of a session of this model, `at` steps after the first."""
    if loaded.version.task != "forecasting":
        return Predict(TextInput(text=["the dog", "J'ai"][loaded.version.task == "translation"]))
    width = len(loaded.task.preprocessor.config.features)
    rows = tuple(tuple(100.0 + 3 * row + column for column in range(width)) for row in range(count))
    timed = loaded.version.name == "sensor"
    return Predict(
        SeriesInput(rows, timestamps=tuple(TIME + HALF_HOUR * (at + one) for one in range(count)) if timed else None)
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    folder = tmp_path_factory.mktemp("models")
    for name, settings in LANGUAGE.items():
        write_language_model(folder, name, golden=False, **settings)
    for name, settings in FORECASTERS.items():
        write_forecaster(folder, name, golden=False, **settings)
    for name, settings in TRANSLATORS.items():
        write_encoder_decoder(folder, name, golden=False, **settings)
    registry = load_registry(folder, TextLimits(50, 20, 30))
    files, found = SafetensorsStateFiles(registry), {}
    for version in registry.versions():
        loaded = registry.get(version)
        state = None
        if version.task == "translation":
            state = run(loaded, OpenSession(TextInput(text="I am hungry.")), None).state
        state = run(loaded, further(loaded, 4), state).state
        found[version.name] = Model(files, loaded, state, files.write(version, state, {"a": "b"}))
    assert sorted(found) == sorted(NAMES)
    return found


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest, models: dict[str, Model]) -> Model:
    return models[request.param]


def refused(model: Model, content: bytes, param: str, *mentions: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        model.read(content)
    assert raised.value.param == param, raised.value.message
    assert len(raised.value.message) < 400
    for mention in (*mentions, param.removeprefix("body"), "expected"):
        assert mention in raised.value.message


# What fits.


def test_a_state_comes_back_from_its_file_bit_by_bit(model: Model) -> None:
    file = model.files.read(model.content)
    assert file.metadata == {"a": "b"}
    assert file.state(model.loaded.version) == model.state
    once, again = (
        run(model.loaded, further(model.loaded, 2, 4), state) for state in (model.state, model.read(model.content))
    )
    assert once == again


def test_tensors_are_named_and_shaped_as_config_json_says(model: Model) -> None:
    specs = model.loaded.task._network.config.session_state()
    found = load(model.content)
    assert {spec.name: spec.shape for spec in specs} == {
        name: one.shape for name, one in found.items() if one.dtype == np.float32
    }
    whole = {name for name, one in found.items() if one.dtype == np.int64}
    task = model.loaded.version.task
    time = {"time"} if model.loaded.version.name == "sensor" else set()
    assert (
        whole
        == {"next-word": set(), "translation": {"source", "accepted", "pending"}, "forecasting": {"rows", *time}}[task]
    )


def test_the_first_state_of_a_session_can_travel_too(model: Model) -> None:
    task = model.loaded.task
    if task.initial_state is None:
        return
    state = task.state_codec.to_bytes(task.initial_state)
    assert model.read(model.files.write(model.loaded.version, state, {})) == state


def test_a_state_that_was_edited_is_taken_as_it_is(model: Model) -> None:
    name = next(name for name in load(model.content) if name.startswith("h_l0"))
    own = load(model.content)[name]
    state = model.read(with_tensors(model.content, **{name: own + np.float32(0.5)}))
    assert load(model.files.write(model.loaded.version, state, {}))[name] == pytest.approx(own + 0.5)
    assert run(model.loaded, further(model.loaded, 1, 4), state).output


def test_a_corrupted_state_is_not_exported(model: Model) -> None:
    with pytest.raises(StateCorrupted):
        model.files.write(model.loaded.version, model.state[:-4] + b"\0\0\xc0\x7f", {})


# What does not.


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "an empty file"),
        (b"\0", "truncated or damaged"),
        (b"abc", "truncated or damaged"),
        (b"\0" * 8, "truncated or damaged"),
        (b"\xff" * 8, "truncated or damaged"),
        (b"\xff" * 7 + b"\x7f" + b"{}", "truncated or damaged"),
        (b"\0\0\0\0\x10\0\0\0{}", "truncated or damaged"),
        (b"\x80\x02}q\0.", "a pickle"),
        (b"PK\x03\x04" + b"\0" * 30, "a pickle"),
        (b'{"h_l0": [1, 2]}', "truncated or damaged"),
        (put_together(b"[]", b""), "truncated or damaged"),
        (put_together(b"{" * 50_000, b""), "truncated or damaged"),
        (put_together(b'{"a":' + b"[" * 100_000, b""), "truncated or damaged"),
        (put_together(b'{"\xff":{}}', b""), "UTF-8"),
        (put_together(b'{"__metadata__":{"a":"\xc3("}}', b""), "UTF-8"),
        (put_together({"__metadata__": {"a": 1}}, b""), "expected a string"),
        (put_together({"__metadata__": {"a": ["b"]}}, b""), "expected a string"),
        (put_together(b'{"a":{"dtype":"U8","shape":[0],"b":%s}}' % (b"9" * 9000), b""), "out of range"),
        (put_together(b'{"a":"%s"}' % (b"x" * 9000), b""), "xxx"),
        (put_together({"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}, b"\0"), "dtype F4"),
        (put_together({"a": {"dtype": "F32", "shape": [2**63, 2], "data_offsets": [0, 0]}}, b""), "overflow"),
        (put_together({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**60]}}, b""), "offset"),
    ],
    ids=lambda one: repr(one[:40]) if isinstance(one, bytes) else one,
)  # fmt: skip
def test_what_is_no_safetensors_file_is_refused_and_told_what_it_is(
    models: dict[str, Model], content: bytes, what: str
) -> None:
    refused(models["lstm"], content, "body", what)


def test_a_header_as_long_as_no_states_is_refused_unread(models: dict[str, Model]) -> None:
    model = models["lstm"]
    header, data = taken_apart(model.content)
    refused(
        model, put_together(json.dumps(header).encode().ljust(MAX_HEADER_BYTES + 1), data), "body", "131073", "131072"
    )
    model.read(put_together(json.dumps(header).encode().ljust(MAX_HEADER_BYTES), data))
    names = {f"t{at}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for at in range(20_000)}
    refused(model, put_together(names, b""), "body", "131072")


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, -1, -4, -5])
def test_a_truncated_file_is_refused(model: Model, length: int) -> None:
    refused(model, model.content[:length], "body")


def test_each_tensor_must_be_there_in_its_shape_and_dtype_and_finite(model: Model) -> None:
    for name, own in load(model.content).items():
        param = f"tensors.{name}"
        if name != "time":  # untold, it is left out
            refused(model, with_tensors(model.content, **{name: None}), param, "is missing", str(own.dtype))
        refused(model, with_tensors(model.content, **{name: own[None]}), param, "of shape", str(own.dtype))
        refused(model, with_tensors(model.content, **{name: np.zeros((0, *own.shape), own.dtype)}), param, "of shape")
        for dtype in (np.float16, np.float64, np.int32, np.uint8, np.bool_):
            refused(model, with_tensors(model.content, **{name: np.zeros_like(own, dtype)}), param, str(own.dtype))
        if own.dtype != np.float32:
            continue
        for wrong, shown in ((np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf"), (2e12, "2e+12"), (-3e38, "-3e+38")):
            changed = own.copy()
            changed.flat[-1] = wrong
            refused(
                model, with_tensors(model.content, **{name: changed}), param, f"{shown} at {own.size - 1}", "finite"
            )


def test_a_tensor_that_is_not_of_the_state_is_refused(model: Model) -> None:
    for name in ("h_l9", "H_l0", "x" * 1000, "\n"):
        refused(
            model, with_tensors(model.content, **{name: np.zeros(2, np.float32)}), f"tensors.{name[:80]}", "left out"
        )


@pytest.mark.parametrize(
    ("name", "value", "mention"),
    [
        ("source", [3, 90, 2], "90 at 1"),
        ("source", [-1], "-1 at 0"),
        ("source", [2**62], str(2**62)),
        ("source", [], "[0]"),
        ("source", [3] * 32, "[1 to 31]"),
        ("source", [[3, 4]], "[1, 2]"),
        ("accepted", -1, "-1"),
        ("accepted", 2**31 + 1, str(2**31 + 1)),
        ("accepted", 2**63 - 1, str(2**63 - 1)),
        ("pending", 95, "0 to 94"),
        ("pending", -(2**63), str(-(2**63))),
    ],
)
def test_a_translators_place_must_be_one(models: dict[str, Model], name: str, value: Any, mention: str) -> None:
    model = models["mt"]
    refused(model, with_tensors(model.content, **{name: np.array(value, np.int64)}), f"tensors.{name}", mention)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rows", -1),
        ("rows", 2**53 + 1),
        ("rows", 2**63 - 1),
        ("time", BEGIN - 1),
        ("time", END),
        ("time", -(2**63)),
        ("time", 2**63 - 1),
    ],
)
def test_a_streams_place_must_be_one(models: dict[str, Model], name: str, value: int) -> None:
    model = models["sensor"]
    refused(model, with_tensors(model.content, **{name: np.int64(value)}), f"tensors.{name}", str(value))


# Whatever is taken can be continued.


@pytest.mark.parametrize("size", [1e12, -1e12, 1e6, 1e-38, -0.0])
@pytest.mark.filterwarnings("error")
def test_numbers_of_any_size_that_is_taken_give_finite_answers(model: Model, size: float) -> None:
    for only in (None, *load(model.content)):
        changes = {
            name: np.full_like(own, size)
            for name, own in load(model.content).items()
            if own.dtype == np.float32 and only in {None, name}
        }
        assert_continues(model, model.read(with_tensors(model.content, **changes)))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mt", {"accepted": 2**31}),
        ("mt", {"source": [0]}),
        ("mt", {"source": [89] * 31, "pending": 0}),
        ("mt", {"pending": 94, "accepted": 0}),
        ("sensor", {"rows": 2**53}),
        ("sensor", {"rows": 0}),
        ("walk", {"rows": 2**53}),
        ("residual", {"time": END - 1}),
        ("site", {"time": BEGIN}),
    ],
)
def test_a_place_at_the_edge_can_be_continued(models: dict[str, Model], name: str, values: dict[str, Any]) -> None:
    model = models[name]
    arrays = {field: np.array(value, np.int64) for field, value in values.items()}
    assert_continues(model, model.read(with_tensors(model.content, **arrays)))


def assert_continues(model: Model, state: bytes) -> None:
    """Two steps from a state end in states that can be stored, with answers of finite numbers."""
    for at in range(2):
        outcome = run(model.loaded, further(model.loaded, 2, 4 + 2 * at), state)
        json.dumps(outcome.output, allow_nan=False)
        state = outcome.state
        model.loaded.task.state_codec.from_bytes(state)


def test_mutated_exports_are_refused_or_continue(models: dict[str, Model]) -> None:
    assert fuzz(models, seed=11, count=1000) > 50


def fuzz(models: dict[str, Model], seed: int, count: int) -> int:
    """Read `count` mutated files; returns how many of them were taken."""
    choose, taken = random.Random(seed), 0
    for _ in range(count):
        model = models[choose.choice(NAMES)]
        content = mutated(with_metadata(model.content, **TOLD), choose)
        try:
            state = take(model, content)
        except InvalidRequest as error:
            assert re.fullmatch(r"(?s).{1,600}", error.message)  # noqa: PT017 most are refused, and some are not
            continue
        assert_continues(model, state)
        taken += 1
    return taken


def take(model: Model, content: bytes) -> bytes:
    file = model.files.read(content)
    read_metadata(file.metadata)
    state = file.state(model.loaded.version)
    codec = model.loaded.task.state_codec
    if model.loaded.version.name == "sensor" and codec.from_bytes(state).time != TIME + 3 * HALF_HOUR:
        raise InvalidRequest("the next rows come too early or too late, which is well told")
    return state


# A state that was computed elsewhere.


def test_a_state_computed_by_torch_can_be_imported(models: dict[str, Model]) -> None:
    model = models["gru"]
    row = {name: torch.from_numpy(one).clone() for name, one in load(model.content).items()}
    assert model.read(tensor_file(row)) == model.state
