"""How accepted words become pieces: continued exactly, told in the notation in which they are taken."""

from pathlib import Path

import pytest

from service.tasks.pieces import Pieces
from service.tasks.text import read_vocabulary
from tests.folders import write_tokenizer
from tests.translation_folders import MARKS, TARGET, write_subwords

ROLES = dict(zip(("unknown", "begin", "end"), MARKS, strict=True))


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Pieces:
    folder = tmp_path_factory.mktemp("pieces")
    return Pieces(read_vocabulary(folder, write_subwords(folder / "tokenizer.json", TARGET, 95), ROLES))


@pytest.mark.parametrize(
    "parts",
    [
        ("J'ai", "faim", "."),
        ("J'ai faim", "."),
        ("Où est Tom", " ?"),
        ("Oui", ", très", "fatigués", " !"),
        ("Voulez", "-vous", "manger", " ?"),
        (".",),
        ("Il fait beau", "aujourd'hui."),
    ],
)
def test_parts_are_the_pieces_of_the_whole(pieces: Pieces, parts: tuple[str, ...]) -> None:
    joined = parts[0] + "".join(part if part[0] in " .,-" else f" {part}" for part in parts[1:])
    encoded = [pieces.encode(part, "text", follows=at > 0).ids for at, part in enumerate(parts)]
    assert [index for ids in encoded for index in ids] == pieces.encode(joined, "text").ids
    assert [pieces.text(ids, follows=at > 0) for at, ids in enumerate(encoded)] == list(parts)


def test_marks_say_where_words_begin(pieces: Pieces) -> None:
    marks = pieces.marks(1, 2)
    tokens = {pieces.token(at): at for at in range(len(marks.starts))}
    assert [bool(marks.starts[tokens[token]]) for token in ("▁", ",", "'", "e", "</s>")] == [True] * 3 + [False] * 2
    assert [bool(marks.onward[tokens[token]] == 0) for token in ("▁", "e", "</s>", "<s>", "<unk>")] == [
        *(True, False, True, False, False)
    ]
    assert [bool(marks.first[tokens[token]] == 0) for token in ("e", "</s>")] == [True, False]


def test_a_vocabulary_of_words_has_no_parts_of_words(tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "tokenizer.json", [*MARKS, "go", "home", "."])
    words = Pieces(read_vocabulary(tmp_path, 6, ROLES))
    assert words.encode("go home.", "text", follows=True).ids == words.encode("go home.", "text").ids == [3, 4, 5]
    assert words.text([3, 4, 2]) == words.text([3, 4], follows=True) == "go home"
    assert words.marks(1, 2).starts.tolist() == [False] * 3 + [True] * 3


def test_a_mark_spelled_out_is_an_unknown_word(pieces: Pieces) -> None:
    encoded = pieces.encode("Oui </s> non", "text")
    assert 2 not in encoded.ids
    assert encoded.unknown[-1] == "</s>"
