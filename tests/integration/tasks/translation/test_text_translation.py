"""Translation of texts: sentences, alternatives and attention."""

from pathlib import Path
from typing import Any

import pytest
import torch

from service.domain.errors import InputTooLong, ModelFolderError
from service.engine.runner import outcome_of, run_timestep
from service.tasks.translation.task import TranslationTask
from tests.integration.tasks.translation.translator import SENTENCES, WORDS, make_task, translate
from tests.rounding import LOGIT, PROBABILITY
from tests.translation_folders import MARKS
from tests.translation_requests import translate_options, translate_request


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
    operation = task.start(translate_request("I am hungry. " * 14, translate_options(beam_size=4)), None)
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


@pytest.mark.parametrize("text", ["日本語のテキスト", "Привет, мир!", "🙂", "x" * 30, "</s> <s> <unk>"])
def test_a_source_in_another_script_is_translated(task: TranslationTask, text: str) -> None:
    translations = translate(task, text, alternatives=1)
    assert translations[0]["text"]
    assert not any(set(translation["tokens"][:-1]) & set(MARKS) for translation in translations)


def test_a_translation_that_reaches_its_end_has_stopped_and_one_that_is_cut_off_has_not(task: TranslationTask) -> None:
    for text in ("I am hungry.", SENTENCES):
        for limit in (1, 3, 40):
            for translation in translate(task, text, max_tokens=limit, alternatives=2):
                ends = translation["tokens"].count("</s>")
                whole = ends == translation["source_tokens"].count("</s>")
                assert translation["finish_reason"] == ("stop" if whole else "length")
    reasons = {translate(task, SENTENCES, max_tokens=limit)[0]["finish_reason"] for limit in (1, 60)}
    assert "length" in reasons


def test_a_translation_lists_the_source_words_that_the_vocabulary_lacks(task: TranslationTask) -> None:
    for translation in translate(task, "I am 🙂 hungry. Where is ☃?", alternatives=1):
        assert translation["unknown"] == ["🙂", "☃"]
    assert translate(task, "I am hungry.")[0]["unknown"] == []


def test_a_network_without_attention_translates(tmp_path: Path) -> None:
    assert translate(make_task(tmp_path, attention=None), SENTENCES)[0]["text"]


def test_a_source_is_read_with_the_marks_that_the_model_states(tmp_path: Path) -> None:
    for begin, end in ((True, True), (True, False), (False, True), (False, False)):
        task = make_task(tmp_path / f"{begin}{end}", words=WORDS, encoder={"begin": begin, "end": end})
        (translation,) = translate(task, "x y", max_tokens=3)
        assert translation["source_tokens"] == [*(["<s>"] if begin else []), "x", "y", *(["</s>"] if end else [])]


def test_a_source_vocabulary_needs_only_the_marks_that_are_fed(tmp_path: Path) -> None:
    words = (["<unk>", "x", "y", "</s>"], WORDS[1])
    assert translate(make_task(tmp_path, words=words), "x y", max_tokens=3)
    with pytest.raises(ModelFolderError, match="special token begin='<s>' of config"):
        make_task(tmp_path / "begin", words=words, encoder={"begin": True})


def test_a_sentence_longer_than_the_positions_of_fixed_attention_is_refused(tmp_path: Path) -> None:
    fields = {"attention": "fixed", "attention_place": "front", "attention_length": 5, "decoder": {"input_size": 22}}
    task = make_task(tmp_path, words=WORDS, **fields)
    assert translate(task, "x y x y", max_tokens=3)
    with pytest.raises(InputTooLong, match="expected at most 4"):
        translate(task, "x y x y x")
