"""Word-level tokenizers, for checkpoints without a tokenizer and for the training recipes."""

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

UNKNOWN = "<unk>"
#: Entries of word lists that are no words and are never predicted.
SPECIAL_TOKENS = frozenset({"<pad>", "<unk>", "<s>", "</s>", "<bos>", "<eos>"})
#: A word with inner apostrophes and hyphens, or one punctuation mark; typographic quotes are replaced before.
WORD = r"\w+(?:['\-]\w+)*|[^\w\s]"
QUOTES = {"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "`": "'"}


def build_word_tokenizer(words: list[str], unknown: str = UNKNOWN) -> Tokenizer:
    """Return a word-level tokenizer of `words` in the order of their ids, with a decoder that joins words to text."""
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token=unknown))
    plain = [normalizers.Replace(mark, to) for mark, to in QUOTES.items()]
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), *plain])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(WORD), "isolated")]
    )
    closing = [decoders.Replace(f" {mark}", mark) for mark in ".,!?;:)%"]
    opening = [decoders.Replace(f"{mark} ", mark) for mark in "($"]
    joined = [decoders.WordPiece(prefix="##", cleanup=False), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*joined, *closing, *opening])
    return tokenizer
