"""The network of integer arithmetic is the automaton."""

import random
from pathlib import Path

from tests.chaos import contents
from tests.chaos.automaton import STATES, WORDS, Automaton, write_automaton
from tests.chaos.contents import Generation
from tests.chaos.replay import Bundled, Exact


def test_the_network_answers_what_the_arithmetic_does(tmp_path: Path) -> None:
    luck = random.Random(5)
    for variant in (0, 3):
        network = Bundled.load(write_automaton(tmp_path / str(variant), "adder", variant=variant), "adder")
        exact = Exact(Automaton(variant))
        shown, expected = network.start(None), exact.start(None)
        for serial in range(60):
            content = contents.choose("adder", luck, serial)
            shown, expected = network.after(shown, content), exact.after(expected, content)
            assert exact.differs(expected.answer, shown.answer) is None
            assert exact.differs(exact.look(expected, None), network.look(shown, None)) is None
            assert shown.timesteps == expected.timesteps


def test_a_step_applied_twice_shows_but_for_fixed_points() -> None:
    luck, exact = random.Random(5), Exact(Automaton())
    standing, seen = exact.start(None), 0
    for serial in range(100):
        content = contents.choose("adder", luck, serial)
        standing = exact.after(standing, content)
        seen += exact.differs(exact.look(standing, content), standing.answer) is not None
    assert seen > 90


def test_what_was_generated_leads_on() -> None:
    exact = Exact(Automaton())
    start = exact.start(None)
    at_once, first = exact.after(start, Generation(("a",), 4)), exact.after(start, Generation(("a",), 1))
    assert exact.after(first, Generation((), 3)).state == at_once.state
    assert first.answer["tokens"] == at_once.answer["tokens"][:1]


def test_words_are_permutations_of_which_no_two_commute() -> None:
    automaton = Automaton()
    for one in WORDS:
        assert len({automaton.step(state, one) for state in range(STATES)}) == STATES
        for other in set(WORDS) - {one}:
            assert any(
                automaton.after(state, (one, other)) != automaton.after(state, (other, one)) for state in range(61)
            )
