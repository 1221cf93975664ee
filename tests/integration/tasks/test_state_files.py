"""State files: states are restored exactly and all other files are refused, for networks of every task and cell."""

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
METADATA = {
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


def make_step(loaded: LoadedModel, count: int = 1, start: int = 0) -> Predict:
    """A step of a session of this model; a forecaster gets `count` rows, `start` rows after the first."""
    if loaded.version.task != "forecasting":
        return Predict(TextInput(text=["the dog", "J'ai"][loaded.version.task == "translation"]))
    width = len(loaded.task.preprocessor.config.features)
    rows = tuple(tuple(100.0 + 3 * row + column for column in range(width)) for row in range(count))
    times = tuple(TIME + HALF_HOUR * (start + row) for row in range(count))
    return Predict(SeriesInput(rows, timestamps=times if loaded.version.name == "sensor" else None))


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
    files, models = SafetensorsStateFiles(registry), {}
    for version in registry.versions():
        loaded = registry.get(version)
        state = None
        if version.task == "translation":
            state = run(loaded, OpenSession(TextInput(text="I am hungry.")), None).state
        state = run(loaded, make_step(loaded, 4), state).state
        models[version.name] = Model(files, loaded, state, files.write(version, state, {"a": "b"}))
    assert sorted(models) == sorted(NAMES)
    return models


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest, models: dict[str, Model]) -> Model:
    return models[request.param]


def assert_refused(model: Model, content: bytes, param: str, *mentions: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        model.read(content)
    assert raised.value.param == param, raised.value.message
    assert len(raised.value.message) < 400
    for mention in (*mentions, param.removeprefix("body"), "expected"):
        assert mention in raised.value.message


# States that fit.


def test_a_state_is_restored_from_its_file_bit_by_bit(model: Model) -> None:
    file = model.files.read(model.content)
    assert file.metadata == {"a": "b"}
    assert file.state(model.loaded.version) == model.state
    step = make_step(model.loaded, 2, 4)
    assert run(model.loaded, step, model.read(model.content)) == run(model.loaded, step, model.state)


def test_tensors_are_named_and_shaped_as_config_json_says(model: Model) -> None:
    specs = model.loaded.task._network.config.session_state()
    shapes = {name: array.shape for name, array in load(model.content).items() if array.dtype == np.float32}
    assert shapes == {spec.name: spec.shape for spec in specs}


def test_counters_and_ids_of_a_task_are_int64_tensors(model: Model) -> None:
    names = {name for name, array in load(model.content).items() if array.dtype == np.int64}
    time = {"time"} if model.loaded.version.name == "sensor" else set()
    expected = {"next-word": set(), "translation": {"source", "accepted", "pending"}, "forecasting": {"rows", *time}}
    assert names == expected[model.loaded.version.task]


def test_the_initial_state_is_restored_from_its_file(model: Model) -> None:
    task = model.loaded.task
    if task.initial_state is None:
        return
    state = task.state_codec.to_bytes(task.initial_state)
    assert model.read(model.files.write(model.loaded.version, state, {})) == state


def test_an_edited_state_is_imported_unchanged(model: Model) -> None:
    name = next(name for name in load(model.content) if name.startswith("h_l0"))
    array = load(model.content)[name]
    state = model.read(with_tensors(model.content, **{name: array + np.float32(0.5)}))
    assert load(model.files.write(model.loaded.version, state, {}))[name] == pytest.approx(array + 0.5)
    assert run(model.loaded, make_step(model.loaded, 1, 4), state).output


def test_a_corrupted_state_is_not_exported(model: Model) -> None:
    with pytest.raises(StateCorrupted):
        model.files.write(model.loaded.version, model.state[:-4] + b"\0\0\xc0\x7f", {})


# States and files that do not fit.


@pytest.mark.parametrize(
    ("content", "mention"),
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
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else value,
)  # fmt: skip
def test_the_error_for_another_file_says_what_the_file_is(
    models: dict[str, Model], content: bytes, mention: str
) -> None:
    assert_refused(models["lstm"], content, "body", mention)


def test_a_header_above_the_limit_is_refused(models: dict[str, Model]) -> None:
    model = models["lstm"]
    header, data = taken_apart(model.content)
    assert_refused(
        model, put_together(json.dumps(header).encode().ljust(MAX_HEADER_BYTES + 1), data), "body", "131073", "131072"
    )
    model.read(put_together(json.dumps(header).encode().ljust(MAX_HEADER_BYTES), data))
    names = {f"t{number}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for number in range(20_000)}
    assert_refused(model, put_together(names, b""), "body", "131072")


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, -1, -4, -5])
def test_a_truncated_file_is_refused(model: Model, length: int) -> None:
    assert_refused(model, model.content[:length], "body")


def test_a_missing_tensor_is_refused(model: Model) -> None:
    for name, array in load(model.content).items():
        if name != "time":  # an optional tensor
            content = with_tensors(model.content, **{name: None})
            assert_refused(model, content, f"tensors.{name}", "is missing", str(array.dtype))


def test_a_tensor_of_another_shape_is_refused(model: Model) -> None:
    for name, array in load(model.content).items():
        for changed in (array[None], np.zeros((0, *array.shape), array.dtype)):
            content = with_tensors(model.content, **{name: changed})
            assert_refused(model, content, f"tensors.{name}", "of shape", str(array.dtype))


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, np.uint8, np.bool_])
def test_a_tensor_of_another_dtype_is_refused(model: Model, dtype: type[np.generic]) -> None:
    for name, array in load(model.content).items():
        content = with_tensors(model.content, **{name: np.zeros_like(array, dtype)})
        assert_refused(model, content, f"tensors.{name}", str(array.dtype))


@pytest.mark.parametrize(
    ("number", "shown"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf"), (2e12, "2e+12"), (-3e38, "-3e+38")]
)
def test_a_number_that_is_not_finite_or_too_large_is_refused(model: Model, number: float, shown: str) -> None:
    for name, array in load(model.content).items():
        if array.dtype == np.float32:
            changed = array.copy()
            changed.flat[-1] = number
            content = with_tensors(model.content, **{name: changed})
            assert_refused(model, content, f"tensors.{name}", f"{shown} at {array.size - 1}", "finite")


def test_a_tensor_that_is_not_of_the_state_is_refused(model: Model) -> None:
    for name in ("h_l9", "H_l0", "x" * 1000, "\n"):
        assert_refused(
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
def test_an_invalid_source_or_counter_of_a_translation_is_refused(
    models: dict[str, Model], name: str, value: Any, mention: str
) -> None:
    model = models["mt"]
    assert_refused(model, with_tensors(model.content, **{name: np.array(value, np.int64)}), f"tensors.{name}", mention)


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
def test_an_invalid_counter_or_time_of_a_stream_is_refused(models: dict[str, Model], name: str, value: int) -> None:
    model = models["sensor"]
    assert_refused(model, with_tensors(model.content, **{name: np.int64(value)}), f"tensors.{name}", str(value))


# Sessions can continue from every state that is imported.


@pytest.mark.parametrize("size", [1e12, -1e12, 1e6, 1e-38, -0.0])
@pytest.mark.filterwarnings("error")
def test_numbers_of_every_accepted_size_give_finite_answers(model: Model, size: float) -> None:
    for changed in (None, *load(model.content)):
        changes = {
            name: np.full_like(array, size)
            for name, array in load(model.content).items()
            if array.dtype == np.float32 and changed in {None, name}
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
def test_a_session_continues_from_the_limits_of_its_counters(
    models: dict[str, Model], name: str, values: dict[str, Any]
) -> None:
    model = models[name]
    arrays = {field: np.array(value, np.int64) for field, value in values.items()}
    assert_continues(model, model.read(with_tensors(model.content, **arrays)))


def assert_continues(model: Model, state: bytes) -> None:
    """Assert that two steps from a state have outputs of finite numbers and states that can be stored."""
    for number in range(2):
        outcome = run(model.loaded, make_step(model.loaded, 2, 4 + 2 * number), state)
        json.dumps(outcome.output, allow_nan=False)
        state = outcome.state
        model.loaded.task.state_codec.from_bytes(state)


def test_mutated_files_are_refused_or_continue(models: dict[str, Model]) -> None:
    assert fuzz(models, seed=11, count=1000) > 50


def fuzz(models: dict[str, Model], seed: int, count: int) -> int:
    """Read `count` mutated files and return how many of them were imported."""
    choose, imported = random.Random(seed), 0
    for _ in range(count):
        model = models[choose.choice(NAMES)]
        content = mutated(with_metadata(model.content, **METADATA), choose)
        try:
            state = import_state(model, content)
        except InvalidRequest as error:
            assert re.fullmatch(r"(?s).{1,600}", error.message)  # noqa: PT017 most are refused, and some are not
            continue
        assert_continues(model, state)
        imported += 1
    return imported


def import_state(model: Model, content: bytes) -> bytes:
    file = model.files.read(content)
    read_metadata(file.metadata)
    state = file.state(model.loaded.version)
    codec = model.loaded.task.state_codec
    if model.loaded.version.name == "sensor" and codec.from_bytes(state).time != TIME + 3 * HALF_HOUR:
        raise InvalidRequest("the next rows would be too early or too late, which is refused rightly")
    return state


# States that were computed elsewhere.


def test_a_state_computed_by_torch_can_be_imported(models: dict[str, Model]) -> None:
    model = models["gru"]
    tensors = {name: torch.from_numpy(array).clone() for name, array in load(model.content).items()}
    assert model.read(tensor_file(tensors)) == model.state
