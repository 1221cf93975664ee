"""Word-level tokenizers from word lists, for checkpoints without a tokenizer and for the training recipes."""

from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from service.domain.errors import ModelFolderError
from service.domain.files import read_file

UNKNOWN = "<unk>"
MAX_LIST_BYTES = 2**26
#: Entries of word lists that are no words and are never predicted.
SPECIAL_TOKENS = frozenset({"<pad>", "<unk>", "<s>", "</s>", "<bos>", "<eos>"})
#: A word with inner apostrophes and hyphens, or one punctuation mark; typographic quotes are replaced before.
WORD = r"\w+(?:['\-]\w+)*|[^\w\s]"
QUOTES = {"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "`": "'"}


def read_words(path: Path) -> list[str]:
    """Read the list; line n is token n - 1. Raises ModelFolderError for an empty or repeated line."""
    expected = "one word per line in UTF-8"
    try:
        text = read_file(path, MAX_LIST_BYTES, expected).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelFolderError(f"{path}: cannot be read: {error}; expected {expected}") from error
    words = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if words[-1] == "":
        words.pop()
    seen: dict[str, int] = {}
    for number, word in enumerate(words, 1):
        if not word or word in seen:
            found = f"{word[:80]!r} again, first on line {seen[word]}" if word else "an empty line"
            raise ModelFolderError(f"{path}: line {number}: found {found}, expected one word that stands only once")
        seen[word] = number
    return words


def word_tokenizer(path: Path, vocab_size: int, unknown: str = UNKNOWN) -> Tokenizer:
    """Return a word-level tokenizer of the list at `path`, of exactly `vocab_size` entries.

    If the list lacks the unknown token and the network has one more row, the token is appended; no other id changes.
    """
    words = read_words(path)
    if unknown not in words and len(words) + 1 == vocab_size:
        words.append(unknown)
    if len(words) != vocab_size:
        raise ModelFolderError(f"{path}: found {len(words)} words, expected {vocab_size}, the rows of the embedding")
    if unknown not in words:
        raise ModelFolderError(
            f"{path}: found no {unknown} among {len(words)} words and no room to add it, expected it on a line of its "
            "own; if the unknown token has another name, state it in config.json: special_tokens.unknown"
        )
    tokenizer = build_word_tokenizer(words, unknown)
    tokenizer.add_special_tokens([word for word in words if word in SPECIAL_TOKENS])
    return tokenizer


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
