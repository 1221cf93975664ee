"""States as bytes: all finite numbers come back, others are refused."""

import warnings

import numpy as np
import pytest

from service.domain.errors import StateCorrupted
from service.tasks.state_layout import StateLayout

MAX_FLOAT32 = float(np.finfo("f4").max)


@pytest.fixture
def layout() -> StateLayout:
    return StateLayout([("h_l0", (3,)), ("c_l0", (2, 2))])


@pytest.mark.parametrize("number", [0.0, -0.0, 1e-45, 1e30, MAX_FLOAT32, -MAX_FLOAT32])
def test_finite_numbers_come_back_however_large(layout: StateLayout, number: float) -> None:
    raw = np.full(7, number, "<f4").tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert layout.to_bytes(layout.from_bytes(raw)) == raw


@pytest.mark.parametrize("index", range(7))
@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("others", [0.0, 1.0, MAX_FLOAT32])
def test_a_number_that_is_not_finite_is_refused_at_every_index(
    layout: StateLayout, number: str, index: int, others: float
) -> None:
    row = np.full(7, others, "<f4")
    row[index] = float(number)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(StateCorrupted, match="not finite"):
            layout.from_bytes(row.tobytes())


@pytest.mark.parametrize("length", [0, 27, 29, 32])
def test_a_state_of_another_length_is_refused(layout: StateLayout, length: int) -> None:
    with pytest.raises(StateCorrupted, match=f"has {length} bytes, expected 28"):
        layout.from_bytes(bytes(length))
