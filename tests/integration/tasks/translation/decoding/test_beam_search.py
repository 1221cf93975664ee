"""Beam searches, compared with brute force and with a plain search over the trainer's own code."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from service.tasks.architectures import load_task
from service.tasks.limits import TextLimits
from tests.integration.tasks.translation.translator import END, WORDS, Oracle, translate
from tests.rounding import LOGIT
from tests.translation_folders import MARKS, write_encoder_decoder

TINY = ([*MARKS, "x", "y"], [*MARKS, "a", "b"])


@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_the_translations_of_a_brute_force_search(tmp_path: Path, seed: int) -> None:
    folder = write_encoder_decoder(tmp_path, words=TINY, seed=seed)
    translations = translate(load_task(folder, TextLimits())[1], "x y x", beam_size=16, max_tokens=3, alternatives=15)
    oracle = Oracle(folder, [3, 4, 3, END], seed)
    words = [words for length in (1, 2) for words in itertools.product((3, 4), repeat=length)]
    scored = [(oracle.total((*pieces, END)) / (len(pieces) + 1), (*pieces, END)) for pieces in words]
    score, best = max(scored)
    assert translations[0]["tokens"] == [TINY[1][piece] for piece in best]
    assert translations[0]["score"] == pytest.approx(score, abs=LOGIT)
    scores = [translation["score"] for translation in translations if translation["tokens"][-1] == "</s>"]
    assert scores == pytest.approx(sorted((score for score, _ in scored), reverse=True), abs=LOGIT)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("settings", [{}, {"attention": None}, {"decoder": {"input_feed": True}}], ids=str)
def test_a_search_finds_the_translation_of_a_plain_beam_search(
    tmp_path: Path, size: int, settings: dict[str, Any]
) -> None:
    for seed in range(3):
        folder = write_encoder_decoder(tmp_path / str(seed), words=WORDS, seed=seed, golden=False, **settings)
        translation = translate(load_task(folder, TextLimits())[1], "y x", beam_size=size, max_tokens=6)[0]
        score, pieces = Oracle(folder, [4, 3, END], seed).beam(size, 6)
        assert translation["tokens"] == [WORDS[1][piece] for piece in pieces]
        assert translation["score"] == pytest.approx(score, abs=LOGIT)


def test_a_beam_of_one_is_greedy(tmp_path: Path) -> None:
    folder = write_encoder_decoder(tmp_path, words=WORDS, seed=5)
    oracle, pieces = Oracle(folder, [3, 4, END], 5), ()
    while len(pieces) < 6 and pieces[-1:] != (END,):
        logprobs = oracle.logprobs(pieces)
        allowed = range(3 if not pieces else 2, len(logprobs))
        pieces = (*pieces, max(allowed, key=logprobs.__getitem__))
    translations = translate(load_task(folder, TextLimits())[1], "x y", beam_size=1, max_tokens=6)
    assert translations[0]["tokens"] == [WORDS[1][piece] for piece in pieces]
