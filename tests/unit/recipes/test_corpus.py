"""Words are cut as the server cuts them, and no sentence stands in two parts."""

import zipfile
from pathlib import Path

import pytest

from models.recipes import corpus, vocabulary
from service.domain.operations import TextInput
from service.tasks.vocabulary import Vocabulary


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I don\u2019t know.", ["I", "don't", "know", "."]),
        ("A part-time job, at 2:30?", ["A", "part-time", "job", ",", "at", "2", ":", "30", "?"]),
        ("\u201cWell\u201d, he said", ['"', "Well", '"', ",", "he", "said"]),
    ],
)
def test_words_keep_inner_apostrophes_and_hyphens(text: str, words: list[str]) -> None:
    assert corpus.words(text) == words


def test_the_recipe_and_the_server_cut_text_alike() -> None:
    texts = ["Tom\u2019s dog doesn\u2019t bark; it's well-behaved!", "\u201cWhat?\u201d said 3 men (or 4)."]
    tokenizer = vocabulary.build_tokenizer(texts * 2, texts, 40)
    served = Vocabulary(tokenizer, [vocabulary.UNKNOWN, vocabulary.BOUNDARY], vocabulary.UNKNOWN)
    table = vocabulary.encoder(tokenizer)
    for text in texts:
        assert served.encode(TextInput(text=text)).ids == [table.get(word.lower(), 0) for word in corpus.words(text)]


def test_spellings_of_one_sentence_share_their_part() -> None:
    sentences = [f"Number {number} is mine." for number in range(500)]
    for sentence in sentences:
        spelled = {corpus.part_of(one) for one in (sentence, sentence.upper(), sentence.replace(".", "!"))}
        assert len(spelled) == 1
    counts = {part: sum(corpus.part_of(one) == part for one in sentences) for part in ("train", "valid", "test")}
    assert counts["train"] > 430
    assert min(counts.values()) > 0


def test_a_word_is_spelled_as_it_usually_stands_inside_sentences() -> None:
    shown = vocabulary.spellings(["The cat saw Tom.", "I like the cat. Tom likes it.", "Did Tom see the dog?"])
    assert (shown["the"], shown["tom"]) == ("the", "Tom")


def test_everyday_words_come_first_and_the_books_fill_the_rest() -> None:
    chosen = vocabulary.choose_words(["a b", "a b c"], ["zeal zeal", "c zeal virtue"], 4)
    assert chosen == ["a", "b", "zeal", "c"]


def test_pairs_and_distinct_sentences_are_read_from_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "fra-eng.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fra.txt", "Go.\tVa !\nGo.\tMarche.\nI see.\tJe vois.\n")
    assert list(corpus.tatoeba_pairs(path)) == [("Go.", "Va !"), ("Go.", "Marche."), ("I see.", "Je vois.")]
    assert sorted(one for part in corpus.tatoeba_english(path).values() for one in part) == ["Go.", "I see."]
