"""Texts are split at the ends of their sentences, and no character is lost. No torch is loaded."""

from typing import Any

import pytest

from service.tasks.translation.sentence_splitter import split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        (" \n\t ", []),
        ("Hello", ["Hello"]),
        ("Go. I'm fine.", ["Go.", "I'm fine."]),
        ("Really?! Yes... No", ["Really?!", "Yes...", "No"]),
        ('He said "Go." Then he left.', ['He said "Go."', "Then he left."]),
        ("(Who?) Me.", ["(Who?)", "Me."]),
        ("Mr. Smith met Dr. Jones. They spoke.", ["Mr. Smith met Dr. Jones.", "They spoke."]),
        ("J. Smith came at 8 a.m. sharp.", ["J. Smith came at 8 a.m. sharp."]),
        ("It costs 3.50 euros. That is e.g. cheap.", ["It costs 3.50 euros.", "That is e.g. cheap."]),
        ("Wait… what? ok", ["Wait…", "what?", "ok"]),
        ("A title\nA line", ["A title", "A line"]),
        ("你好。 再见！ 好", ["你好。", "再见！", "好"]),  # noqa: RUF001 full-width marks are the point
        ("no end", ["no end"]),
    ],
)
def test_sentences_end_at_their_marks(text: str, sentences: list[str]) -> None:
    assert [sentence for sentence, _ in split_sentences(text)] == sentences


@pytest.mark.parametrize("text", ["One.  Two!\n\n\tThree?\r\nFour", "a. B.  C. D", "x\n\n\ny", " Yes. No. "])
def test_sentences_and_the_white_space_between_them_are_the_text(text: str) -> None:
    assert "".join(sentence + separator for sentence, separator in split_sentences(text)) == text.strip()
    assert all(sentence.strip() == sentence != "" for sentence, _ in split_sentences(text))


@pytest.mark.parametrize(
    "text", ["ab " * 300_000, "." * 900_000 + "x y", "a." * 400_000, " " * 500_000 + "a" + " " * 500_000]
)
def test_a_megabyte_is_split_in_linear_time(text: str) -> None:
    half = text[: len(text) // 2]
    assert characters_read(text) < 4 * characters_read(half) + 10_000


def characters_read(text: str) -> int:
    """Return how many characters are read by slices of the text while it is split."""
    count = 0

    class Counted(str):
        __slots__ = ()

        def __getitem__(self, key: Any) -> str:
            nonlocal count
            part = super().__getitem__(key)
            count += len(part)
            return part

        def strip(self, characters: str | None = None) -> "Counted":  # type: ignore[override]
            return Counted(str(self).strip(characters))

    list(split_sentences(Counted(text)))
    return count
