"""Target text in parts gives the pieces of the whole, whatever white space stands at the parts' edges."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from service.tasks.translation.subwords import SubwordCodec
from service.tasks.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def pieces() -> SubwordCodec:
    """A subword vocabulary as users bring it: no normaliser that would tidy white space."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    texts = ["Je suis là .", "Comment allez -vous ?", "a Je suis", "là ?"] * 3
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=60, special_tokens=["<unk>"]))
    return SubwordCodec(Vocabulary(tokenizer, ["<unk>"], "<unk>"))


@pytest.mark.parametrize(
    ("whole", "parts"),
    [
        ("Je suis là", ["Je", "suis là"]),
        ("Je suis là", ["Je ", " suis", "là "]),
        ("Comment allez ?", ["Comment allez", " ?"]),
        ("Comment allez-vous", ["Comment allez", "-vous"]),
    ],
)
def test_parts_give_the_pieces_of_the_whole(pieces: SubwordCodec, whole: str, parts: list[str]) -> None:
    fed = [index for at, part in enumerate(parts) for index in pieces.encode(part, "text", after_prefix=at > 0).ids]
    assert fed == pieces.encode(whole, "text").ids


@pytest.mark.parametrize("after_prefix", [False, True])
@pytest.mark.parametrize("blank", ["", "  ", "\n"])
def test_a_blank_part_has_no_piece(pieces: SubwordCodec, blank: str, after_prefix: bool) -> None:
    assert pieces.encode(blank, "text", after_prefix=after_prefix).ids == []
