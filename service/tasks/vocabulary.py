"""Text in and out of a vocabulary, by way of a Hugging Face `tokenizer.json`."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers import models as tokenizer_models

from service.domain.errors import InvalidRequest, ModelFolderError, OutOfVocabulary
from service.domain.operations import TextInput


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids, how each reads, and the words that the vocabulary does not have."""

    ids: list[int]
    tokens: list[str]
    unknown: list[str]


class Vocabulary:
    """Encodes and decodes text.

    A word-level vocabulary finds a word as typed or, failing that, in any other case: "tom" finds "Tom". What it does
    not have at all is read as the unknown token, if there is one.
    """

    def __init__(self, tokenizer: Tokenizer, special_tokens: Iterable[str] = (), unknown: str | None = None) -> None:
        self._tokenizer = tokenizer
        self.size: int = tokenizer.get_vocab_size(with_added_tokens=True)
        self._entries = {index: entry for entry, index in tokenizer.get_vocab().items()}
        self.word_level = isinstance(tokenizer.model, tokenizer_models.WordLevel)
        self._any_case: dict[str, int] = {}
        for index in sorted(self._entries):
            self._any_case.setdefault(self._entries[index].casefold(), index)
        special = {*special_tokens, *(token.content for token in tokenizer.get_added_tokens_decoder().values())}
        self.special_ids = frozenset(index for index, entry in self._entries.items() if entry in special)
        self.unknown_id: int | None = None if unknown is None else tokenizer.token_to_id(unknown)
        self._by_prefix: dict[str, list[int]] = defaultdict(list)
        for index, entry in sorted(self._entries.items()):
            if index not in self.special_ids and entry:
                self._by_prefix[entry.casefold()[0]].append(index)

    def token(self, index: int) -> str:
        """Return how the token reads."""
        return self._entries.get(index, "")

    def id_of(self, token: str) -> int | None:
        """Return the id of a token in any case, or None."""
        index: int | None = self._tokenizer.token_to_id(token)
        return self._any_case.get(token.casefold()) if index is None else index

    def encode(self, given: TextInput, field: str = "input.text") -> Encoded:
        """Encode text, tokens or ids; `field` names a text in errors.

        Raises InvalidRequest for a word that cannot be read, OutOfVocabulary for a bad id.
        """
        if given.ids is not None:
            return self._encode_ids(given.ids)
        if given.tokens is not None:
            return self._look_up(list(given.tokens), "input.tokens")
        text = given.text or ""
        if self.word_level:
            return self._look_up(self.split(text), field)
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        unknown = [
            text[start:end]
            for index, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
            if index == self.unknown_id
        ]
        return Encoded(encoding.ids, encoding.tokens, unknown)

    def split(self, text: str) -> list[str]:
        """Cut text into words and marks as the tokenizer does."""
        if self._tokenizer.normalizer is not None:
            text = self._tokenizer.normalizer.normalize_str(text)
        if self._tokenizer.pre_tokenizer is None:
            return text.split()
        return [piece for piece, _ in self._tokenizer.pre_tokenizer.pre_tokenize_str(text)]

    def unfinished(self, words: list[str], text: str) -> tuple[list[str], str]:
        """Take the unfinished last word off the `words` of `text`: "don'" is one although its mark was cut off."""
        *whole, prefix = words
        if prefix in {"'", "-"} and whole and whole[-1][-1].isalnum() and not text[-2].isspace():
            prefix = whole.pop() + prefix
        return whole, prefix

    def decode(self, ids: Sequence[int]) -> str:
        """Join tokens to text."""
        if self._tokenizer.decoder is None and self.word_level:
            return " ".join(self.token(index) for index in ids)
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        return text

    def completions(self, prefix: str) -> list[int]:
        """Return the ids of all words that start with `prefix`, in any case, special tokens left out."""
        folded = prefix.casefold()
        return [
            index for index in self._by_prefix.get(folded[:1], []) if self.token(index).casefold().startswith(folded)
        ]

    def _encode_ids(self, ids: Sequence[int]) -> Encoded:
        for position, index in enumerate(ids):
            if not 0 <= index < self.size:
                raise OutOfVocabulary(
                    f"input.ids[{position}] is {index}: expected an id from 0 to {self.size - 1}",
                    param=f"input.ids[{position}]",
                )
        tokens = [self.token(index) for index in ids]
        return Encoded(list(ids), tokens, [t for t, i in zip(tokens, ids, strict=True) if i == self.unknown_id])

    def _look_up(self, words: list[str], field: str) -> Encoded:
        found = [self.id_of(word) for word in words]
        unknown = [word for word, index in zip(words, found, strict=True) if index is None]
        if unknown and self.unknown_id is None:
            raise InvalidRequest(
                f"{field} holds {unknown[0]!r}: expected words of the vocabulary, since the model has no unknown token",
                param=field,
            )
        ids = [self.unknown_id if index is None else index for index in found]
        tokens = [word if index is None else self.token(index) for word, index in zip(words, found, strict=True)]
        return Encoded([index for index in ids if index is not None], tokens, unknown)


def read_vocabulary(
    folder: Path, vocab_size: int, special_tokens: dict[str, str], file: str = "tokenizer.json"
) -> Vocabulary:
    """Read a tokenizer of a model folder. Raises ModelFolderError when it does not fit the network."""
    path = folder / file
    if not path.is_file():
        raise ModelFolderError(f"{path}: not found; a text model needs its tokenizer")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception for any malformed file
        raise ModelFolderError(f"{path}: not a Hugging Face tokenizers file: {error}") from error
    vocabulary = Vocabulary(tokenizer, special_tokens.values(), special_tokens.get("unknown"))
    ids = set(tokenizer.get_vocab().values())
    if vocabulary.size != vocab_size or ids != set(range(vocab_size)):
        raise ModelFolderError(
            f"{path}: holds {vocabulary.size} tokens with ids up to {max(ids, default=-1)}: expected each id from 0 to "
            f"{vocab_size - 1} once, as config.json's vocab_size says"
        )
    for role, token in special_tokens.items():
        if tokenizer.token_to_id(token) is None:
            raise ModelFolderError(f"{path}: special token {role}={token!r} of config.json is not in the vocabulary")
    return vocabulary
