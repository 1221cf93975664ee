"""Sessions continue from every state that is imported, and answer finite numbers."""

import random
import re
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from service.application.sessions.state_metadata import read_metadata
from service.domain.errors import InvalidRequest
from service.domain.rfc3339 import BEGIN, END
from tests.integration.tasks.state_files.exported_models import HALF_HOUR, NAMES, TIME, Model, assert_continues
from tests.state_files import mutated, with_metadata, with_tensors

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


@pytest.mark.parametrize("size", [1e12, -1e12, 1e6, 1e-38, -0.0])
@pytest.mark.filterwarnings("error")
def test_numbers_of_every_accepted_size_give_finite_answers(model: Model, size: float) -> None:
    whole = model.whole_numbers
    for changed in (None, *load(model.content)):
        changes = {
            name: np.full_like(array, size)
            for name, array in load(model.content).items()
            if array.dtype == np.float32 and name not in whole and changed in {None, name}
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
