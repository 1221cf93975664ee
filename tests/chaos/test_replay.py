"""The replay of bundled models, and how it compares."""

import random
from pathlib import Path

import pytest

from tests.chaos import conditioned, contents, encoders
from tests.chaos.replay import Bundled

MODELS = Path(__file__).parents[2] / "models"


@pytest.mark.parametrize("model", ["next-word", "translate-en-fr", "taxi-forecast"])
def test_a_step_lost_doubled_or_swapped_shows_in_the_answer(model: str) -> None:
    network, luck = Bundled.load(MODELS / model / "1", model), random.Random(8)
    start = network.start(contents.choose_opening(model, luck))
    one, other = (contents.choose(model, luck, serial, generate=False) for serial in (0, 1))
    first = network.after(start, one)
    both = network.after(first, other)
    assert network.differs(both.answer, network.after(first, other).answer) is None
    assert network.differs(network.look(both, None), network.look(first, None))
    assert network.differs(both.answer, network.after(start, other).answer)
    assert both.timesteps > first.timesteps > 0


@pytest.mark.parametrize("model", encoders.NAMES)
def test_a_step_of_an_encoder_lost_doubled_or_swapped_shows_in_the_answer(tmp_path: Path, model: str) -> None:
    encoders.write_encoders(tmp_path)
    network, luck = Bundled.load(tmp_path / model / "1", model), random.Random(8)
    one, other = (contents.choose(model, luck, serial) for serial in (0, 1))
    start = network.start(None)
    first = network.after(start, one)
    both = network.after(first, other)
    assert network.differs(both.answer, network.look(first, other)) is None
    assert network.differs(network.look(both, other), network.look(first, other))
    assert network.differs(both.answer, network.after(start, other).answer)
    assert both.timesteps > first.timesteps > 0


@pytest.mark.parametrize("model", conditioned.NAMES)
def test_a_session_on_another_vector_shows_in_every_answer(tmp_path: Path, model: str) -> None:
    conditioned.write_conditioned(tmp_path)
    network, luck = Bundled.load(tmp_path / model / "1", model), random.Random(8)
    start, elsewhere = (network.start(contents.choose_opening(model, luck)) for _ in range(2))
    one, other = (contents.choose(model, luck, serial, generate=False) for serial in (0, 1))
    assert network.differs(network.look(start, None), network.look(elsewhere, None))
    first = network.after(start, one)
    assert network.differs(first.answer, network.after(elsewhere, one).answer)
    assert network.differs(network.after(first, other).answer, network.after(start, other).answer)
    assert first.timesteps > start.timesteps == 0
