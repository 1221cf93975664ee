"""Encoding of text as the token ids of a Hugging Face `tokenizer.json`, and decoding."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers import models as tokenizer_models

from service.domain.errors import InvalidRequest, ModelFolderError, OutOfVocabulary
from service.domain.operations import TextInput
from service.tasks.tokenizer_file import is_library_error, read_tokenizer

#: Texts up to this number of characters are encoded at once, which takes about 10 ms.
PART_CHARACTERS = 8192
#: The most tokens by which the encoding of a part can be longer than what the whole text has of it.
CUT_TOKENS = 32


@dataclass(frozen=True, slots=True)
class EncodedText:
    """The ids and tokens of an encoded text, one of each per token, and its words that the vocabulary lacks."""

    ids: list[int]
    tokens: list[str]
    unknown: list[str]


class Vocabulary:
    """A tokenizer with its special tokens. It encodes and decodes text.

    A word-level vocabulary looks a word up as it is typed and, if it has no such entry, in any case: "tom" is found as
    "Tom". A word without an entry is encoded as the unknown token, if the model has one.

    `special_ids` are the ids of the special tokens, `unknown_id` is that of the unknown token or None.
    """

    def __init__(self, tokenizer: Tokenizer, special_tokens: Iterable[str] = (), unknown: str | None = None) -> None:
        self._tokenizer = tokenizer
        self.size: int = tokenizer.get_vocab_size(with_added_tokens=True)
        self._entries = {index: entry for entry, index in tokenizer.get_vocab().items()}
        self.word_level = isinstance(tokenizer.model, tokenizer_models.WordLevel)
        self._ids_by_folded_entry: dict[str, int] = {}
        for index in sorted(self._entries):
            self._ids_by_folded_entry.setdefault(self._entries[index].casefold(), index)
        special = {*special_tokens, *(token.content for token in tokenizer.get_added_tokens_decoder().values())}
        self.special_ids = frozenset(index for index, entry in self._entries.items() if entry in special)
        self.unknown_id: int | None = None if unknown is None else tokenizer.token_to_id(unknown)
        self._ids_by_first_letter: dict[str, list[int]] = defaultdict(list)
        for index, entry in sorted(self._entries.items()):
            if index not in self.special_ids and entry:
                self._ids_by_first_letter[entry.casefold()[0]].append(index)

    def id_to_token(self, index: int) -> str:
        """Return the token with this id, or an empty text if there is none."""
        return self._entries.get(index, "")

    def token_to_id(self, token: str) -> int | None:
        """Return the id of a token, as it is typed or in any case; None if there is no such entry."""
        index: int | None = self._tokenizer.token_to_id(token)
        return self._ids_by_folded_entry.get(token.casefold()) if index is None else index

    def require_token(self, place: Path, field: str, token: str) -> int:
        """Return the id of a token that a field of the file `place` names. Raises ModelFolderError."""
        index: int | None = self._tokenizer.token_to_id(token)
        if index is None:
            raise ModelFolderError(f"{place}: {field}: found {token!r}, expected a token of the vocabulary")
        return index

    def encode(self, text_input: TextInput, field: str = "input.text") -> EncodedText:
        """Encode text, tokens or ids. Errors name the text by `field`.

        Raises InvalidRequest for an unknown word if there is no unknown token, OutOfVocabulary for an id out of range.
        """
        if text_input.ids is not None:
            return self._encode_ids(text_input.ids)
        if text_input.tokens is not None:
            return self._encode_words(list(text_input.tokens), "input.tokens")
        text = text_input.text or ""
        try:
            if self.word_level:
                words = self.split_words(text)
            else:
                encoding = self._tokenizer.encode(text, add_special_tokens=False)
        except BaseException as error:
            if not is_library_error(error):
                raise
            raise InvalidRequest(
                f"{field} cannot be tokenized ({str(error)[:200]}): expected text that the model's tokenizer reads",
                param=field,
            ) from error
        if self.word_level:
            return self._encode_words(words, field)
        unknown = [
            text[start:end]
            for index, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
            if index == self.unknown_id
        ]
        return EncodedText(encoding.ids, encoding.tokens, unknown)

    def exceeds(self, text: str, limit: int) -> bool:
        """Return whether a long text has more than `limit` tokens, without encoding much more than these.

        Parts of it are counted one by one. A text that is a little longer than the limit may pass; a text of up to
        PART_CHARACTERS always passes.
        """
        if len(text) <= PART_CHARACTERS:
            return False
        tokens = 0
        for start in range(0, len(text), PART_CHARACTERS):
            tokens += self._count(text[start : start + PART_CHARACTERS])
            # A part that begins or ends inside a word may have more tokens than the whole word.
            if tokens > limit + CUT_TOKENS:
                return True
            limit += CUT_TOKENS
        return False

    def _count(self, text: str) -> int:
        if self.word_level:
            return len(self.split_words(text))
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def split_words(self, text: str) -> list[str]:
        """Return the words and punctuation marks of a text, as the tokenizer separates them."""
        if self._tokenizer.normalizer is not None:
            text = self._tokenizer.normalizer.normalize_str(text)
        if self._tokenizer.pre_tokenizer is None:
            return text.split()
        return [piece for piece, _ in self._tokenizer.pre_tokenizer.pre_tokenize_str(text)]

    def split_prefix(self, words: list[str], text: str) -> tuple[list[str], str]:
        """Return the whole words and the unfinished last one of the `words` of `text`.

        A trailing apostrophe or hyphen belongs to the word before it, so that "don'" is one unfinished word.
        """
        *whole, prefix = words
        if prefix in {"'", "-"} and whole and whole[-1][-1].isalnum() and not text[-2].isspace():
            prefix = whole.pop() + prefix
        return whole, prefix

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids."""
        if self._tokenizer.decoder is None and self.word_level:
            return " ".join(self.id_to_token(index) for index in ids)
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        return text

    def completions(self, prefix: str) -> list[int]:
        """Return the ids of all words that start with `prefix` in any case, without special tokens."""
        folded = prefix.casefold()
        return [
            index
            for index in self._ids_by_first_letter.get(folded[:1], [])
            if self.id_to_token(index).casefold().startswith(folded)
        ]

    def _encode_ids(self, ids: Sequence[int]) -> EncodedText:
        for position, index in enumerate(ids):
            if not 0 <= index < self.size:
                raise OutOfVocabulary(
                    f"input.ids[{position}] is {index}: expected an id from 0 to {self.size - 1}",
                    param=f"input.ids[{position}]",
                )
        tokens = [self.id_to_token(index) for index in ids]
        return EncodedText(list(ids), tokens, [t for t, i in zip(tokens, ids, strict=True) if i == self.unknown_id])

    def _encode_words(self, words: list[str], field: str) -> EncodedText:
        entries = [self.token_to_id(word) for word in words]
        unknown = [word for word, index in zip(words, entries, strict=True) if index is None]
        if unknown and self.unknown_id is None:
            raise InvalidRequest(
                f"{field} holds {unknown[0]!r}: expected words of the vocabulary, since the model has no unknown token",
                param=field,
            )
        ids = [self.unknown_id if index is None else index for index in entries]
        tokens = [
            word if index is None else self.id_to_token(index) for word, index in zip(words, entries, strict=True)
        ]
        return EncodedText([index for index in ids if index is not None], tokens, unknown)


def read_vocabulary(
    folder: Path,
    vocab_size: int,
    special_tokens: dict[str, str],
    file: str = "tokenizer.json",
    *,
    required: Collection[str] | None = None,
) -> Vocabulary:
    """Read a tokenizer of a model folder.

    The vocabulary must have the special tokens of the roles `required`, by default of all. The others may be missing.
    Raises ModelFolderError if the file is missing or malformed, or does not fit `vocab_size` or `special_tokens`.
    """
    path = folder / file
    if not path.exists():
        raise ModelFolderError(f"{path}: not found; a text model needs its tokenizer")
    tokenizer = read_tokenizer(path, vocab_size)
    vocabulary = Vocabulary(tokenizer, special_tokens.values(), special_tokens.get("unknown"))
    ids = set(tokenizer.get_vocab().values())
    if vocabulary.size != vocab_size or ids != set(range(vocab_size)):
        raise ModelFolderError(
            f"{path}: holds {vocabulary.size} tokens with ids up to {max(ids, default=-1)}: expected each id from 0 to "
            f"{vocab_size - 1} once, as config.json's vocab_size says"
        )
    for role, token in special_tokens.items():
        if tokenizer.token_to_id(token) is None and (required is None or role in required):
            raise ModelFolderError(f"{path}: special token {role}={token!r} of config.json is not in the vocabulary")
    return vocabulary
