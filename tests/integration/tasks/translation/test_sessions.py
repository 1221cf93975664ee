"""Sessions for interactive translation: accepted words, next words and completions."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from service.domain.errors import StateCorrupted
from service.tasks.architectures import load_task
from service.tasks.limits import TextLimits
from service.tasks.translation.task import TranslationTask
from tests.integration.nets.test_encoder_decoder import STEP, TERMS
from tests.integration.tasks.translation.translator import END, WORDS, Oracle, accept, make_task, run, translate
from tests.rounding import LOGIT, PROBABILITY, bound, same_answer
from tests.translation_folders import write_encoder_decoder
from tests.translation_requests import open_request, score_request

SETTINGS: list[dict[str, Any]] = [
    {},
    {"attention": None},
    {"decoder": {"input_feed": True}, "attention": "additive"},
    {"encoder": {"cell": "gru"}, "decoder": {"num_layers": 2}},
    {"dtype": "bfloat16", "golden": False},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=json.dumps)
def test_steps_of_a_few_words_have_the_answers_of_a_single_step(tmp_path: Path, settings: dict[str, Any]) -> None:
    task = make_task(tmp_path, **settings)
    opened = run(task, open_request("Where is Tom?")).state
    whole = accept(task, opened, "Où est Tom, aujourd'hui ? Voulez-vous manger ?")
    state, logprob, timesteps = opened, 0.0, 0
    for part in ("Où", "est Tom", ", aujourd'hui", " ?", "Voulez", "-vous manger", " ?"):
        outcome = accept(task, state, part)
        state, timesteps = outcome.state, timesteps + outcome.timesteps
        logprob += outcome.observation.logprob
    stepped, at_once = task.state_codec.from_bytes(state), task.state_codec.from_bytes(whole.state)
    assert state == whole.state or stepped.source == at_once.source
    assert stepped.accepted == at_once.accepted == timesteps == whole.timesteps
    # A product in bfloat16 may be rounded up in one case and down in the other.
    bfloat16 = settings.get("dtype") == "bfloat16"
    size = float(at_once.decoder.abs().max())
    tolerance = torch.finfo(torch.bfloat16).eps if bfloat16 else bound(size, TERMS, STEP * timesteps)
    torch.testing.assert_close(stepped.decoder, at_once.decoder, atol=tolerance, rtol=0)
    assert bfloat16 or same_answer(outcome.output, whole.output)
    each = tolerance if bfloat16 else LOGIT
    scored: Any = run(task, score_request("Where is Tom?", "Où est Tom, aujourd'hui ? Voulez-vous manger ?")).output
    assert logprob == pytest.approx(sum(scored["logprobs"][:-1]), abs=each * timesteps)
    assert whole.observation.logprob == pytest.approx(logprob, abs=each * timesteps)


def test_a_prediction_without_accepted_words_does_not_change_the_state(task: TranslationTask) -> None:
    state = run(task, open_request("I am hungry.")).state
    predicted = accept(task, state, None)
    assert (predicted.state, predicted.timesteps, predicted.observation) == (state, 0, None)


@pytest.mark.parametrize("accepted", [None, "J'ai"])
def test_another_worker_continues_a_session(tmp_path: Path, accepted: str | None) -> None:
    folder = write_encoder_decoder(tmp_path)
    first, second = (load_task(folder, TextLimits())[1] for _ in range(2))
    state = run(first, open_request("I am hungry.")).state
    assert accept(second, state, accepted) == accept(first, state, accepted)


def test_without_accepted_words_the_completion_is_the_translation(task: TranslationTask) -> None:
    for text in ("I am hungry.", "Where is Tom?"):
        completion = accept(task, run(task, open_request(text)).state, None, beam_size=3).output["completion"]
        best = translate(task, text, beam_size=3)[0]
        assert completion["text"] == best["text"]
        assert completion["score"] == pytest.approx(best["score"], abs=LOGIT)


def test_a_completion_continues_the_accepted_words(tmp_path: Path) -> None:
    folder = write_encoder_decoder(tmp_path, words=WORDS, seed=2)
    task, oracle = load_task(folder, TextLimits())[1], Oracle(folder, [3, END], 2)
    state = accept(task, run(task, open_request("x")).state, "a b").state
    completion = accept(task, state, None, beam_size=1, max_tokens=6).output["completion"]
    pieces = (3, 4)
    while len(pieces) < 8 and pieces[-1] != END:
        logprobs = oracle.logprobs(pieces)
        pieces = (*pieces, max(range(2, len(logprobs)), key=logprobs.__getitem__))
    assert completion["text"] == " ".join(WORDS[1][piece] for piece in pieces[2:] if piece != END)
    total = oracle.total(pieces) - oracle.total((3, 4))
    assert completion["score"] == pytest.approx(total / len(pieces[2:]), abs=LOGIT)


def test_next_words_of_a_word_level_vocabulary_are_its_most_probable_entries(tmp_path: Path) -> None:
    folder = write_encoder_decoder(tmp_path, words=WORDS)
    task, oracle = load_task(folder, TextLimits())[1], Oracle(folder, [3, END])
    state = run(task, open_request("x")).state
    predictions = accept(task, state, "a", top_k=4).output["predictions"]
    logprobs = oracle.logprobs((3,))
    best = sorted(range(3, len(logprobs)), key=logprobs.__getitem__, reverse=True)[:4]
    probabilities = [math.exp(logprobs[index]) for index in best]
    assert [prediction["token"] for prediction in predictions] == [WORDS[1][index] for index in best]
    assert [prediction["probability"] for prediction in predictions] == pytest.approx(probabilities, abs=PROBABILITY)


@pytest.mark.parametrize("accepted", [None, "Nous", "Voulez-vous"])
def test_next_words_of_a_subword_vocabulary_are_whole_words_with_their_probability(
    tmp_path: Path, accepted: str | None
) -> None:
    folder = write_encoder_decoder(tmp_path)
    task = load_task(folder, TextLimits())[1]
    state = run(task, open_request("Who are you?")).state
    outcome = accept(task, state, accepted, top_k=8)
    codec, constraints = task._target, task._constraints
    prefix = tuple(codec.encode(accepted, "text").ids) if accepted else ()
    oracle = Oracle(folder, list(task.state_codec.from_bytes(outcome.state).source))
    predictions = outcome.output["predictions"]
    probabilities = [prediction["probability"] for prediction in predictions]
    assert len({prediction["token"] for prediction in predictions}) == len(predictions) == 8
    assert probabilities == sorted(probabilities, reverse=True)
    for prediction in predictions:
        pieces = codec.encode(prediction["token"], "text", after_prefix=bool(prefix)).ids
        following = oracle.logprobs((*prefix, *pieces))
        ending = sum(math.exp(p) for index, p in enumerate(following) if constraints.prefix_mask[index] == 0)
        own = math.exp(oracle.total((*prefix, *pieces)) - oracle.total(prefix)) * ending
        # A word with several spellings in pieces has the probability of all of them.
        assert prediction["probability"] >= own * (1 - LOGIT * len(pieces))


@pytest.mark.parametrize("change", ["short", "long", "header", "ids", "nan"])
def test_a_damaged_state_is_refused(task: TranslationTask, change: str) -> None:
    raw = run(task, open_request("I am hungry.")).state
    damaged = {
        "short": raw[:-4],
        "long": raw + raw,
        "header": raw[:7],
        "ids": raw[:12] + b"\xff" * 4 + raw[16:],
        "nan": raw[:-4] + b"\xff" * 4,
    }[change]
    with pytest.raises(StateCorrupted):
        task.state_codec.from_bytes(damaged)
