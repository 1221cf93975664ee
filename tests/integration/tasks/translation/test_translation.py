"""Translation with small networks: searches compared with brute force over the trainer's own code, sessions, texts."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from service.domain.errors import InputTooLong, InvalidRequest, StateCorrupted
from service.domain.operations import Generate, Operation, Outcome, Predict, PredictOptions, Score, TextInput
from service.engine.runner import outcome_of, run_operation, run_timestep
from service.tasks.limits import TextLimits
from service.tasks.registry import load_task
from service.tasks.translation.task import TranslationTask
from tests.folders import write_language_model
from tests.integration.nets.test_encoder_decoder import STEP, TERMS
from tests.rounding import LOGIT, PROBABILITY, bound, same_answer
from tests.translation_folders import MARKS, make_translation_trainer, write_encoder_decoder
from tests.translation_requests import (
    AcceptTranslation,
    CompletionOptions,
    OpenTranslation,
    ScoreTranslation,
    Translate,
    TranslateOptions,
)

BEGIN, END = 1, 2
TINY = ([*MARKS, "x", "y"], [*MARKS, "a", "b"])
WORDS = ([*MARKS, "x", "y"], [*MARKS, *"abcdefghij"])
SENTENCES = "I am hungry. Where is Tom? I don't know."


def make_task(root: Path, **settings: Any) -> TranslationTask:
    return load_task(write_encoder_decoder(root, **settings), TextLimits(200, 60, 40))[1]


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> TranslationTask:
    return make_task(tmp_path_factory.mktemp("models"))


def run(task: TranslationTask, operation: Operation, state: bytes | None = None) -> Outcome:
    return run_operation(task, operation, task.initial_state if state is None else task.state_codec.from_bytes(state))


def translate(task: TranslationTask, text: str, **options: Any) -> Any:
    return run(task, Translate(text, TranslateOptions(**options))).output["translations"]


def accept(task: TranslationTask, state: bytes, text: str | None, **options: Any) -> Any:
    return run(task, AcceptTranslation(text, CompletionOptions(**options)), state)


class Oracle:
    """The trainer's own log-probabilities for one source."""

    def __init__(self, folder: Path, source: list[int], seed: int = 0) -> None:
        self.trainer = make_translation_trainer(json.loads((folder / "config.json").read_text()), seed)
        self.source = torch.tensor([source])

    def logprobs(self, prefix: tuple[int, ...]) -> list[float]:
        with torch.no_grad():
            logits = self.trainer(self.source, torch.tensor([[BEGIN, *prefix]]))["outputs.logits"]
        return logits[0, -1].log_softmax(-1).tolist()

    def total(self, pieces: tuple[int, ...]) -> float:
        return sum(self.logprobs(pieces[:position])[piece] for position, piece in enumerate(pieces))

    def beam(self, size: int, limit: int) -> tuple[float, tuple[int, ...]]:
        """Run a plain beam search and return the best score and its pieces."""
        beam: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
        ended: list[tuple[float, tuple[int, ...]]] = []
        for _ in range(limit):
            longer = []
            for total, prefix in beam:
                for piece, logprob in enumerate(self.logprobs(prefix)):
                    if piece not in (0, BEGIN) and (piece != END or prefix):
                        longer.append((total + logprob, (*prefix, piece)))
            best = sorted(longer, reverse=True)[: 2 * size]
            finished = [(total / len(pieces), pieces) for total, pieces in best[:size] if pieces[-1] == END]
            ended += finished[: size - len(ended)]
            beam = [(total, pieces) for total, pieces in best if pieces[-1] != END][:size]
            if len(ended) >= size:
                break
        return max(ended or [(total / len(pieces), pieces) for total, pieces in beam])


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


def test_the_score_of_a_translation_is_that_of_the_same_target(tmp_path: Path) -> None:
    task = make_task(tmp_path, words=WORDS)
    for translation in translate(task, "x y x", beam_size=4, alternatives=3, max_tokens=5):
        scored = run(task, ScoreTranslation("x y x", translation["text"])).output
        tokens = translation["tokens"]
        if tokens[-1] == "</s>":
            assert scored["tokens"] == tokens
            total = translation["score"] * len(tokens)
            assert scored["total_logprob"] == pytest.approx(total, abs=LOGIT * len(tokens))
        assert scored["perplexity"] == pytest.approx(math.exp(-scored["total_logprob"] / len(scored["tokens"])), 1e-4)


def test_unknown_words_of_a_target_are_scored_and_reported(tmp_path: Path) -> None:
    folder = write_encoder_decoder(tmp_path, words=WORDS)
    outcome = run(load_task(folder, TextLimits())[1], ScoreTranslation("x", "a zebra </s>"))
    assert outcome.output["unknown"][0] == "zebra"
    oracle = Oracle(folder, [3, END])
    assert outcome.output["logprobs"][:2] == pytest.approx(
        [oracle.logprobs(())[3], oracle.logprobs((3,))[0]], abs=LOGIT
    )
    assert outcome.observation is not None
    assert outcome.observation.tokens == len(outcome.output["tokens"])
    assert "</s>" not in outcome.output["unknown"] or outcome.output["tokens"].count("</s>") == 2


@pytest.mark.parametrize("size", [1, 4])
def test_a_text_is_translated_sentence_by_sentence_and_keeps_its_white_space(task: TranslationTask, size: int) -> None:
    text = f"  {SENTENCES}\n\nWho are you? "
    sentences = ["I am hungry.", "Where is Tom?", "I don't know.", "Who are you?"]
    parts = [translate(task, sentence, beam_size=size)[0] for sentence in sentences]
    whole = translate(task, text, beam_size=size)[0]
    separators = [" ", " ", "\n\n", ""]
    assert whole["text"] == "".join(part["text"] + space for part, space in zip(parts, separators, strict=True))
    assert whole["tokens"] == [token for part in parts for token in part["tokens"]]
    total = sum(part["score"] * len(part["tokens"]) for part in parts)
    assert whole["score"] == pytest.approx(total / len(whole["tokens"]), abs=LOGIT)


def test_a_long_text_occupies_a_few_rows_at_a_time(task: TranslationTask) -> None:
    operation = task.start(Translate("I am hungry. " * 14, TranslateOptions(beam_size=4)), None)
    max_rows = 0
    while not operation.finished:
        assert run_timestep(task, [operation]) == [None]
        max_rows = max(max_rows, sum(len(active.search.ids) for active in operation.searches))
    assert max_rows == 16
    translations: Any = outcome_of(task, operation).output["translations"]
    assert translations[0]["text"] == " ".join([translate(task, "I am hungry.", beam_size=4)[0]["text"]] * 14)


@pytest.mark.parametrize("text", ["Where is Tom?", SENTENCES])
def test_alternatives_have_different_texts_after_the_best_translation(task: TranslationTask, text: str) -> None:
    translations = translate(task, text, beam_size=6, alternatives=5)
    assert len({translation["text"] for translation in translations}) == len(translations) > 1
    assert translations[0] == translate(task, text, beam_size=6)[0]


def test_the_first_translation_has_the_best_score(task: TranslationTask) -> None:
    translations = translate(task, "Where is Tom?", beam_size=6, alternatives=5, max_tokens=30)
    scores = [translation["score"] for translation in translations]
    assert scores[0] == max(scores)


def test_attention_is_returned_only_on_request(task: TranslationTask) -> None:
    assert "attention" not in translate(task, "Where is Tom? I am hungry.")[0]


def test_attention_is_target_by_source_and_each_sentence_attends_to_itself(task: TranslationTask) -> None:
    translation = translate(task, "Where is Tom? I am hungry.", attention=True)[0]
    weights = torch.tensor(translation["attention"])
    assert weights.shape == (len(translation["tokens"]), len(translation["source_tokens"]))
    torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)), atol=PROBABILITY, rtol=0)
    source_end = translation["source_tokens"].index("</s>") + 1
    target_end = len(translate(task, "Where is Tom?")[0]["tokens"])
    assert not weights[:target_end, source_end:].any()
    assert not weights[target_end:, :source_end].any()


@pytest.mark.parametrize("text", ["日本語のテキスト", "Привет, мир!", "🙂", "\u200b", "x" * 30, "</s> <s> <unk>"])
def test_a_source_in_another_script_is_translated(task: TranslationTask, text: str) -> None:
    translations = translate(task, text, alternatives=1)
    assert translations[0]["text"]
    assert not any(set(translation["tokens"][:-1]) & set(MARKS) for translation in translations)


@pytest.mark.parametrize(
    ("operation", "error", "message"),
    [
        (Translate(""), InvalidRequest, "input.text has no token"),
        (Translate(" \n "), InvalidRequest, "input.text has no token"),
        (OpenTranslation(" "), InvalidRequest, "input.text has no token"),
        (ScoreTranslation("I", " "), InvalidRequest, "input.target has no token"),
        (ScoreTranslation("", "a"), InvalidRequest, "input.text has no token"),
        (Translate("dog " * 60), InputTooLong, r"input.text has a sentence \('dog .*\) that has .* at most 40"),
        (Translate("I do. " * 150), InputTooLong, "input.text has [0-9]+ tokens: expected at most 200"),
        (
            Translate("I do. " * 14, TranslateOptions(4, attention=True)),
            InputTooLong,
            "with options.attention, .* most 40",
        ),
        (Translate("I do. " * 4, TranslateOptions(4, None, 3, True)), InputTooLong, "expected at most 10"),
        (ScoreTranslation("I", "chat " * 90), InputTooLong, "input.target has [0-9]+ tokens: expected at most 60"),
        (Translate("I", TranslateOptions(max_tokens=61)), InvalidRequest, "options.max_tokens is 61: expected at most"),
        (Translate("I", TranslateOptions(alternatives=4)), InvalidRequest, "options.alternatives is 4: expected less"),
        (Predict(None), InvalidRequest, "input.text is missing"),
        (Predict(TextInput(ids=(3,))), InvalidRequest, "a translation model reads no tokens or ids"),
        (Predict(TextInput(text="I", target="a")), InvalidRequest, "input.target is given"),
        (
            Predict(TextInput(text="I"), PredictOptions(top_k=3)),
            InvalidRequest,
            "options.top_k is 3: expected it to be",
        ),
        (Generate(None), InvalidRequest, "generates no free text"),
        (Score(TextInput(text="I")), InvalidRequest, "input.target is missing"),
    ],
)
def test_invalid_input_is_refused_before_anything_runs(
    task: TranslationTask, operation: Operation, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        task.start(operation, task.initial_state)


def test_attention_of_a_network_without_any_is_refused(tmp_path: Path) -> None:
    task = make_task(tmp_path, attention=None)
    with pytest.raises(InvalidRequest, match=r"options\.attention is true: expected false"):
        task.start(Translate("I", TranslateOptions(attention=True)), None)


def test_a_network_without_attention_translates(tmp_path: Path) -> None:
    assert translate(make_task(tmp_path, attention=None), SENTENCES)[0]["text"]


def test_a_language_model_does_not_translate(tmp_path: Path) -> None:
    task = load_task(write_language_model(tmp_path), TextLimits())[1]
    with pytest.raises(InvalidRequest, match=r"options\.beam_size is 2: expected it to be left out"):
        task.start(Translate("I", TranslateOptions(2)), task.initial_state)


def test_a_session_without_a_source_is_refused(task: TranslationTask) -> None:
    with pytest.raises(InvalidRequest, match="input is missing: a session of a translation model is created with"):
        task.state_codec.to_bytes(task.initial_state)


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
    opened = run(task, OpenTranslation("Where is Tom?")).state
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
    scored: Any = run(task, ScoreTranslation("Where is Tom?", "Où est Tom, aujourd'hui ? Voulez-vous manger ?")).output
    assert logprob == pytest.approx(sum(scored["logprobs"][:-1]), abs=each * timesteps)
    assert whole.observation.logprob == pytest.approx(logprob, abs=each * timesteps)


def test_a_prediction_without_accepted_words_does_not_change_the_state(task: TranslationTask) -> None:
    state = run(task, OpenTranslation("I am hungry.")).state
    predicted = accept(task, state, None)
    assert (predicted.state, predicted.timesteps, predicted.observation) == (state, 0, None)


@pytest.mark.parametrize("accepted", [None, "J'ai"])
def test_another_worker_continues_a_session(tmp_path: Path, accepted: str | None) -> None:
    folder = write_encoder_decoder(tmp_path)
    first, second = (load_task(folder, TextLimits())[1] for _ in range(2))
    state = run(first, OpenTranslation("I am hungry.")).state
    assert accept(second, state, accepted) == accept(first, state, accepted)


def test_without_accepted_words_the_completion_is_the_translation(task: TranslationTask) -> None:
    for text in ("I am hungry.", "Where is Tom?"):
        completion = accept(task, run(task, OpenTranslation(text)).state, None, beam_size=3).output["completion"]
        best = translate(task, text, beam_size=3)[0]
        assert completion["text"] == best["text"]
        assert completion["score"] == pytest.approx(best["score"], abs=LOGIT)


def test_a_completion_continues_the_accepted_words(tmp_path: Path) -> None:
    folder = write_encoder_decoder(tmp_path, words=WORDS, seed=2)
    task, oracle = load_task(folder, TextLimits())[1], Oracle(folder, [3, END], 2)
    state = accept(task, run(task, OpenTranslation("x")).state, "a b").state
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
    state = run(task, OpenTranslation("x")).state
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
    state = run(task, OpenTranslation("Who are you?")).state
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
    raw = run(task, OpenTranslation("I am hungry.")).state
    damaged = {
        "short": raw[:-4],
        "long": raw + raw,
        "header": raw[:7],
        "ids": raw[:12] + b"\xff" * 4 + raw[16:],
        "nan": raw[:-4] + b"\xff" * 4,
    }[change]
    with pytest.raises(StateCorrupted):
        task.state_codec.from_bytes(damaged)
