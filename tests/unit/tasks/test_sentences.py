"""Where a text is cut into sentences, and that nothing between them is lost. No torch is loaded."""

import pytest

from service.tasks.sentences import split


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
    assert [sentence for sentence, _ in split(text)] == sentences


@pytest.mark.parametrize("text", ["One.  Two!\n\n\tThree?\r\nFour", "a. B.  C. D", "x\n\n\ny", " Yes. No. "])
def test_sentences_and_what_stands_between_them_are_the_text(text: str) -> None:
    assert "".join(sentence + between for sentence, between in split(text)) == text.strip()
    assert all(sentence.strip() == sentence != "" for sentence, _ in split(text))
