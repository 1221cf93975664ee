"""Stored states of streams."""

from pathlib import Path

import pytest

from service.domain.errors import StateCorrupted
from tests.forecast_folders import series
from tests.integration.tasks.forecasting.forecast_model import FULL, Model


def test_a_state_is_restored_from_its_bytes(tmp_path: Path) -> None:
    model = Model(tmp_path, **FULL)
    state = model.feed(series(model.trainer, 6)).state
    assert len(state) == model.task.state_codec.state_bytes
    assert model.task.state_codec.to_bytes(model.task.state_codec.from_bytes(state)) == state


@pytest.mark.parametrize("change", ["short", "empty", "nan first", "nan last"])
def test_a_damaged_state_is_refused(tmp_path: Path, change: str) -> None:
    model = Model(tmp_path, **FULL)
    raw = model.feed(series(model.trainer, 6)).state
    damaged = {
        "short": raw[:-1],
        "empty": b"",
        "nan first": raw[:16] + b"\xff" * 4 + raw[20:],
        "nan last": raw[:-4] + b"\x00\x00\xc0\x7f",
    }[change]
    with pytest.raises(StateCorrupted):
        model.task.state_codec.from_bytes(damaged)
