"""Imported files with any change: each is refused by name, or its session predicts, steps and exports."""

import random
import re
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load

from service.application.sessions.state_metadata import read_metadata
from service.domain.errors import InvalidRequest
from service.domain.rfc3339 import BEGIN, END
from tests.integration.tasks.state_files.exported_models import NAMES, Model, assert_continues
from tests.integration.tasks.state_files.test_continuation import METADATA, import_state
from tests.state_files import metadata_of, mutated, put_together, with_metadata, with_tensors

names = st.sampled_from(NAMES)
floats = st.one_of(
    st.floats(width=32), st.sampled_from([0.0, -0.0, 1e-45, 1e12, -1e12, 1.1e12, 3e38, float("nan"), float("inf")])
)
integers = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0, -1, 1, 2**31, 2**53, 2**53 + 1, BEGIN, BEGIN - 1, END - 1, END, -(2**63), 2**63 - 1]),
)
shapes = st.lists(st.integers(0, 3), max_size=3)
dtypes = st.sampled_from(["<f4", "<f8", "<f2", "<i8", "<i4", "u1", "?"])
fuzzed = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def assert_refused_or_continues(model: Model, content: bytes) -> None:
    try:
        state = import_state(model, content)
    except InvalidRequest as error:
        assert re.fullmatch(r"(?s).{1,600}", error.message)  # noqa: PT017 most are refused, and some are not
        return
    assert_continues(model, state)
    model.files.write(model.loaded.version, state, {})


@fuzzed
@given(name=names, seed=st.integers(0, 2**32))
def test_a_mutated_file_is_refused_or_continues(models: dict[str, Model], name: str, seed: int) -> None:
    content = with_metadata(models[name].content, **METADATA)
    assert_refused_or_continues(models[name], mutated(content, random.Random(seed)))


@fuzzed
@given(data=st.data(), name=names)
def test_a_state_of_any_numbers_is_refused_or_continues(
    models: dict[str, Model], data: st.DataObject, name: str
) -> None:
    content, changes = with_metadata(models[name].content, **METADATA), {}
    for tensor, array in sorted(load(content).items()):
        numbers = floats if array.dtype == np.float32 else integers
        if data.draw(st.booleans(), label=f"change {tensor}"):
            changes[tensor] = array.copy()
            changes[tensor][...] = data.draw(numbers, label=tensor)
    assert_refused_or_continues(models[name], with_tensors(content, **changes))


@fuzzed
@given(data=st.data(), name=names)
def test_a_state_of_other_tensors_is_refused_or_continues(
    models: dict[str, Model], data: st.DataObject, name: str
) -> None:
    content = with_metadata(models[name].content, **METADATA)
    changed = data.draw(st.sampled_from([*sorted(load(content)), "time", "extra"]))
    other: Any = None
    if data.draw(st.booleans(), label="another tensor"):
        other = np.zeros(data.draw(shapes, label="shape"), data.draw(dtypes, label="dtype"))
    assert_refused_or_continues(models[name], with_tensors(content, **{changed: other}))


@fuzzed
@given(name=st.sampled_from(sorted(METADATA)), text=st.text(max_size=30) | st.from_regex(r"\A[0-9]{1,40}\Z"))
def test_any_metadata_is_read_or_refused_by_name(models: dict[str, Model], name: str, text: str) -> None:
    metadata = METADATA | {name: text}
    try:
        read = read_metadata(metadata)
    except InvalidRequest as error:
        assert error.param == f"metadata.{name}"  # noqa: PT017 some are read
        return
    assert 0 <= read.step <= 2**53
    assert 0 <= read.timesteps <= 2**53


@fuzzed
@given(header=st.binary(max_size=100), data=st.binary(max_size=20))
def test_any_bytes_are_refused(models: dict[str, Model], header: bytes, data: bytes) -> None:
    assert_refused_or_continues(models["lstm"], put_together(header, data))
    assert_refused_or_continues(models["lstm"], header)


def test_a_stream_without_its_time_continues(models: dict[str, Model]) -> None:
    model = models["sensor"]
    content = with_tensors(model.content, time=None)
    assert metadata_of(content) == metadata_of(model.content)
    assert_continues(model, model.read(content))
