"""The network of integer arithmetic is the automaton."""

import random
from pathlib import Path

from tests.chaos.automaton import STATES, WORDS, Automaton, write_automaton
from tests.chaos.replay import Bundled, Exact


def test_the_network_answers_what_the_arithmetic_does(tmp_path: Path) -> None:
    choose = random.Random(5)
    for variant in (0, 3):
        network = Bundled.load(write_automaton(tmp_path / str(variant), "adder", variant=variant))
        exact, arithmetic = Exact(Automaton(variant)), Automaton(variant)
        state, number = network.start, arithmetic.start
        for _ in range(30):
            words = tuple(choose.choices(WORDS, k=choose.randint(1, 4)))
            state, number = network.after(state, words), arithmetic.after(number, words)
            assert exact.differs(number, state[1]) is None
            assert exact.differs((number + 1) % STATES, state[1])


def test_words_are_permutations_of_which_no_two_commute() -> None:
    automaton = Automaton()
    for one in WORDS:
        assert len({automaton.step(state, one) for state in range(STATES)}) == STATES
        for other in set(WORDS) - {one}:
            assert any(
                automaton.after(state, (one, other)) != automaton.after(state, (other, one)) for state in range(61)
            )
