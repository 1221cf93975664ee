"""Vocabularies of many kinds become the entries of an embedding's rows, or the numbers say why not."""

import json
import pickle
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch

from service.domain.errors import ModelFolderError
from service.domain.operations import TextInput
from service.tasks.vocabulary import Vocabulary
from service.tooling.preprocessing.reader import read_preprocessing, read_words
from service.tooling.preprocessing.vocabularies.fitting import fit_words
from service.tooling.preprocessing.vocabularies.tokenizer import make_tokenizer
from service.tooling.preprocessing.vocabularies.words import Words

KERAS = {
    "class_name": "Tokenizer",
    "config": {
        "num_words": None,
        "filters": "!.,",
        "lower": True,
        "split": " ",
        "char_level": False,
        "oov_token": "<OOV>",
        "word_index": json.dumps({"<OOV>": 1, "the": 2, "cat's": 3, "sat": 4}),
    },
}


class Vocab:
    """An object of a library or of a trainer, as torchtext's."""

    def __init__(self, itos: list[str]) -> None:
        self.itos = itos
        self.stoi = defaultdict(int, {word: index for index, word in enumerate(itos)})
        self.unk_token = itos[0]


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def entries(path: Path, rows: int, **stated: str) -> tuple[str, ...]:
    return fit_words(read_words(path), rows, stated or None).entries


def encoded(path: Path, rows: int, text: str) -> list[int]:
    fitted = fit_words(read_words(path), rows, None)
    vocabulary = Vocabulary(make_tokenizer(fitted), fitted.roles.values(), fitted.roles.get("unknown"))
    return vocabulary.encode(TextInput(text=text)).ids


WORDS = ["<unk>", "a", "b c", "d"]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({word: index for index, word in enumerate(WORDS)}),
        json.dumps({str(index): word for index, word in enumerate(WORDS)}),
        json.dumps({"word2idx": {word: index for index, word in enumerate(WORDS)}, "idx2word": WORDS}),
        json.dumps(WORDS),
        pickle.dumps({word: index for index, word in enumerate(WORDS)}),
        pickle.dumps(dict(enumerate(WORDS)), protocol=0),
        pickle.dumps(WORDS),
        pickle.dumps(Vocab(WORDS)),
        "\n".join(WORDS),
        "\ufeff" + "\r\n".join(WORDS) + "\r\n",
    ],
    ids=[
        "word-id",
        "id-word",
        "both",
        "list",
        "pickle",
        "old pickle",
        "pickled list",
        "object",
        "text",
        "Windows text",
    ],
)
def test_a_vocabulary_is_read_from_files_of_each_kind(tmp_path: Path, content: str | bytes) -> None:
    assert entries(written(tmp_path / "v", content), 4) == ("<unk>", "a", "b c", "d")


def test_a_vocabulary_that_torch_saved_is_read(tmp_path: Path) -> None:
    torch.save(Vocab(WORDS), tmp_path / "vocab.pt")
    words = read_words(tmp_path / "vocab.pt")
    assert [*words.entries.values()] == WORDS
    assert words.roles == {"unknown": "<unk>"}


def test_characters_have_line_ends_and_spaces_among_them(tmp_path: Path) -> None:
    listed = written(tmp_path / "list", "\n\n \n!\na\nb\n")
    together = written(tmp_path / "set", "\n !ab")
    for path in (listed, together):
        assert entries(path, 5) == ("\n", " ", "!", "a", "b")
        assert encoded(path, 5, "a b!\nb") == [3, 1, 4, 2, 0, 4]


@pytest.mark.parametrize("content", ["a\n\nword\n", "<unk>\nlonger\n\n\n"])
def test_an_empty_line_in_a_list_of_words_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(ModelFolderError, match="found an empty line, expected one word that stands only once"):
        read_words(written(tmp_path / "list", content))


def test_a_tokenizer_of_keras_begins_at_one_and_reads_as_keras(tmp_path: Path) -> None:
    text, twice = json.dumps(KERAS), json.dumps(json.dumps(KERAS))
    for content in (text, twice):
        path = written(tmp_path / "tokenizer.json", content)
        assert entries(path, 5) == ("<pad>", "<OOV>", "the", "cat's", "sat")
        assert encoded(path, 5, "The cat's SAT, what") == [2, 3, 4, 1]


def test_a_tokenizer_of_keras_keeps_the_words_below_its_limit(tmp_path: Path) -> None:
    limited = {**KERAS, "config": {**KERAS["config"], "num_words": 4}}  # type: ignore[dict-item]
    fitted = fit_words(read_words(written(tmp_path / "t", json.dumps(limited))), 6)
    assert fitted.entries == ("<pad>", "<OOV>", "the", "cat's", "<unused 4>", "<unused 5>")
    assert "2 rows of the embedding stand for no word: ids 4 to 5" in fitted.notes


def test_a_vocabulary_of_text_vectorization_strips_punctuation(tmp_path: Path) -> None:
    path = written(tmp_path / "v", json.dumps(["", "[UNK]", "dont", "go"]))
    assert entries(path, 4) == ("<pad>", "[UNK]", "dont", "go")
    assert encoded(path, 4, "Don't go, Tom") == [2, 3, 1]


def test_dictionaries_of_fairseq_and_opennmt_get_their_marks(tmp_path: Path) -> None:
    fairseq = written(tmp_path / "dict.txt", "the 50\nhaus 7\n@@en 2\nmadeupword0000 0\n")
    assert entries(fairseq, 8) == ("<s>", "<pad>", "</s>", "<unk>", "the", "haus", "@@en", "madeupword0000")
    onmt = written(tmp_path / "onmt.vocab", "the\t50\nhaus\t7\nund\t2\n")
    assert entries(onmt, 7) == ("<unk>", "<blank>", "<s>", "</s>", "the", "haus", "und")


def test_a_table_of_ids_is_no_dictionary_of_counts(tmp_path: Path) -> None:
    assert entries(written(tmp_path / "t", "<unk> 0\nb 2\na 1\n"), 3) == ("<unk>", "a", "b")
    assert entries(written(tmp_path / "t", "0\t<unk>\n1\ta\n2\tb\n"), 3) == ("<unk>", "a", "b")


def numbered(first: int, count: int) -> str:
    return json.dumps({**{f"w{index}": index for index in range(first + 1, first + count)}, "<unk>": first})


def test_one_row_more_is_the_padding_only_where_the_ids_say_so(tmp_path: Path) -> None:
    assert entries(written(tmp_path / "v", numbered(1, 3)), 4) == ("<pad>", "<unk>", "w2", "w3")
    path = written(tmp_path / "v", numbered(0, 5000))
    with pytest.raises(ModelFolderError, match=r"5,000 entries, ids 0 to 4,999, and an embedding of 5,001 rows"):
        entries(path, 5001)
    assert entries(path, 5001, pad="<pad>")[:2] == ("<pad>", "<unk>")
    listed = written(tmp_path / "v", "a\nb\n")
    assert entries(listed, 3, unknown="<unk>") == ("a", "b", "<unk>")
    with pytest.raises(ModelFolderError, match="a list of 2 entries, in the order of the ids, and an embedding of 3"):
        entries(listed, 3)


def test_other_numbers_are_told(tmp_path: Path) -> None:
    path = written(tmp_path / "v", numbered(0, 5))
    with pytest.raises(ModelFolderError, match=r"5 entries, ids 0 to 4, expected .* 4 rows .*: id 4 has none"):
        entries(path, 4)
    with pytest.raises(ModelFolderError, match="8 rows of the embedding: 3 have no entry, the first of id 5"):
        entries(path, 8)


def test_an_unknown_token_is_found_stated_or_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path / "v", "alpha\nbeta\nUNKNOWN\n")
    with pytest.raises(
        ModelFolderError, match=r"found no <unk> among 3 entries, expected it, or its name to be stated"
    ):
        entries(path, 3)
    assert fit_words(read_words(path), 3, {"unknown": "UNKNOWN"}).roles == {"unknown": "UNKNOWN"}
    assert fit_words(read_words(path), 3, {}).roles == {}
    marked = written(tmp_path / "v", "<PAD>\n<SOS>\n<EOS>\n<UNK>\nalpha\n")
    roles = {"pad": "<PAD>", "begin": "<SOS>", "end": "<EOS>", "unknown": "<UNK>"}
    assert fit_words(read_words(marked), 5).roles == roles


@pytest.mark.parametrize(
    "value",
    [
        {"layers": 2, "hidden": 64},
        {"a": 1.5},
        ["x"],
        {"weights": [[0.5]]},
        {"a": 1, "b": 1},
        {"class_name": ["TextVectorization"], "config": {}},
        "text",
        5,
    ],
)
def test_other_values_are_no_vocabulary(tmp_path: Path, value: Any) -> None:
    for content in (pickle.dumps(value), json.dumps(value).encode()):
        assert read_preprocessing(written(tmp_path / "v", content), text=False) == []


def test_a_network_is_no_preprocessing(tmp_path: Path) -> None:
    torch.save({"state_dict": torch.nn.Linear(2, 3).state_dict(), "vocab": WORDS}, tmp_path / "net.pt")
    assert read_preprocessing(tmp_path / "net.pt") == []


def test_two_vocabularies_in_a_file_are_named_by_their_places(tmp_path: Path) -> None:
    (tmp_path / "v").write_text(json.dumps({"src": {"a": 0, "b": 1}, "tgt": {"c": 0, "d": 1}}))
    found = {item.place: item.item for item in read_preprocessing(tmp_path / "v")}
    assert {place: [*item.entries.values()] for place, item in found.items() if isinstance(item, Words)} == {
        "src": ["a", "b"],
        "tgt": ["c", "d"],
    }
    with pytest.raises(ModelFolderError, match="expected one vocabulary"):
        read_words(tmp_path / "v")


def test_an_entry_with_half_a_character_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "vocab.pkl", pickle.dumps({"<unk>": 0, "a": 1, "\ud800": 2}))
    with pytest.raises(ModelFolderError, match=r"entry 2 is '\\ud800': found half a character"):
        entries(path, 3)
