"""Scores of given translations."""

import math
from pathlib import Path

import pytest

from service.tasks.architectures import load_task
from service.tasks.limits import TextLimits
from tests.integration.tasks.translation.translator import END, WORDS, Oracle, make_task, run, translate
from tests.rounding import LOGIT
from tests.translation_folders import write_encoder_decoder
from tests.translation_requests import score_request


def test_the_score_of_a_translation_is_that_of_the_same_target(tmp_path: Path) -> None:
    task = make_task(tmp_path, words=WORDS)
    translations = translate(task, "x y x", beam_size=4, alternatives=3, max_tokens=5)
    assert any(translation["tokens"][-1] == "</s>" for translation in translations)
    for translation in translations:
        scored = run(task, score_request("x y x", translation["text"])).output
        tokens = translation["tokens"]
        if tokens[-1] == "</s>":
            assert scored["tokens"] == tokens
            total = translation["score"] * len(tokens)
            assert scored["total_logprob"] == pytest.approx(total, abs=LOGIT * len(tokens))
        assert scored["perplexity"] == pytest.approx(math.exp(-scored["total_logprob"] / len(scored["tokens"])), 1e-4)


def test_unknown_words_of_a_target_are_scored_and_reported(tmp_path: Path) -> None:
    folder = write_encoder_decoder(tmp_path, words=WORDS)
    outcome = run(load_task(folder, TextLimits())[1], score_request("x", "a zebra"))
    assert outcome.output["tokens"] == ["a", "zebra", "</s>"]
    assert outcome.output["unknown"] == ["zebra"]
    oracle = Oracle(folder, [3, END])
    expected = [oracle.logprobs(())[3], oracle.logprobs((3,))[0], oracle.logprobs((3, 0))[END]]
    assert outcome.output["logprobs"] == pytest.approx(expected, abs=LOGIT)
    assert outcome.observation is not None
    assert outcome.observation.tokens == 3


def test_an_end_mark_within_a_target_is_scored_as_text(tmp_path: Path) -> None:
    task = make_task(tmp_path, words=WORDS)
    output = run(task, score_request("x", "a </s>")).output
    assert output["tokens"] == ["a", "<", "/", "s", ">", "</s>"]
    assert output["unknown"] == ["<", "/", "s", ">"]
