"""A target that is encoded in parts has the pieces of the whole, whatever white space surrounds the parts."""

from itertools import chain

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from service.tasks.translation.subwords import SubwordCodec
from service.tasks.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def codec() -> SubwordCodec:
    """A subword vocabulary without a normaliser, which would remove white space."""
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
def test_parts_have_the_pieces_of_the_whole(codec: SubwordCodec, whole: str, parts: list[str]) -> None:
    encoded = [codec.encode(part, "text", after_prefix=index > 0).ids for index, part in enumerate(parts)]
    assert [*chain.from_iterable(encoded)] == codec.encode(whole, "text").ids


@pytest.mark.parametrize("after_prefix", [False, True])
@pytest.mark.parametrize("blank", ["", "  ", "\n"])
def test_a_blank_part_has_no_piece(codec: SubwordCodec, blank: str, after_prefix: bool) -> None:
    assert codec.encode(blank, "text", after_prefix=after_prefix).ids == []
