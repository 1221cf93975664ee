"""Encoding of source and target text as the pieces of a translation network, and decoding.

Clients accept a target in parts, so the boundaries of words matter. A part begins a new word, unless its first
character is a mark that attaches to the word before, such as a comma, a full stop or the hyphen of `-vous`. After a
white space such a mark is separate, as before a French question mark. Proposed text has the same notation, so that
a client can send it back unchanged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from service.domain.operations import TextInput
from service.tasks.vocabulary import EncodedText, Vocabulary

ATTACHING = frozenset(".,;:!?\u2026)]}%'\u2019\u201d-")
#: Prefixes that mark the first piece of a word: those of SentencePiece and GPT-2, and a plain space.
WORD_PREFIXES = ("\u2581", "\u0120", " ")
#: A word to put in front of a part, so that the tokenizer treats the part as one that follows other words.
ANCHOR = "a"


@dataclass(frozen=True, slots=True)
class TokenConstraints:
    """The begin and end ids of a target vocabulary, and masks (V,) for log-probabilities: 0 or minus infinity.

    `mask` allows all pieces that a translation may contain. `first_mask` applies to the first piece of a sentence and
    excludes the end, since no translation is empty. `prefix_mask` applies to the first piece after accepted words and
    allows a new word, an attaching mark or the end.
    """

    begin: int
    end: int
    mask: Tensor
    first_mask: Tensor
    prefix_mask: Tensor


class SubwordCodec:
    """Encodes and decodes the text of one side of a translation; `word_level` is true if each piece is a word."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self.word_level = vocabulary.word_level
        self._anchor = [] if self.word_level else vocabulary.encode(TextInput(text=ANCHOR)).ids

    def id_to_token(self, index: int) -> str:
        """Return the token with this id, or an empty text if there is none."""
        return self._vocabulary.id_to_token(index)

    def exceeds(self, text: str, limit: int) -> bool:
        """Return whether a long text has more than `limit` tokens, see `Vocabulary.exceeds`."""
        return self._vocabulary.exceeds(text, limit)

    def encode(self, text: str, field: str, *, after_prefix: bool = False) -> EncodedText:
        """Encode a text, without special tokens; with `after_prefix` it follows other words.

        Errors name the text by `field`. Raises InvalidRequest for an unknown word if there is no unknown token.
        """
        bare = text.strip()
        if self.word_level or not after_prefix or not bare:
            return self._encode(bare, field) if bare else EncodedText([], [], [])
        separator = "" if text[:1] in ATTACHING else " "
        anchored = self._encode(f"{ANCHOR}{separator}{bare}", field)
        count = len(self._anchor)
        if anchored.ids[:count] != self._anchor:
            return self._encode(bare, field)
        return EncodedText(anchored.ids[count:], anchored.tokens[count:], anchored.unknown)

    def _encode(self, text: str, field: str) -> EncodedText:
        """Encode a text by itself; a special token that it spells out, such as "</s>", is an unknown word."""
        vocabulary = self._vocabulary
        encoded = vocabulary.encode(TextInput(text=text), field)
        special, unknown_id = vocabulary.special_ids, vocabulary.unknown_id
        if not any(index in special for index in encoded.ids):
            return encoded
        pairs = list(zip(encoded.ids, encoded.tokens, strict=True))
        spelled_out = [token for index, token in pairs if index in special - {unknown_id}]
        replaced = [(unknown_id if index in special else index, token) for index, token in pairs]
        kept = [(index, token) for index, token in replaced if index is not None]
        unknown = [*encoded.unknown, *spelled_out]
        return EncodedText([index for index, _ in kept], [token for _, token in kept], unknown)

    def decode(self, ids: Sequence[int], *, after_prefix: bool = False) -> str:
        """Return the text of pieces without the special ones; with `after_prefix` it follows other words."""
        ids = [index for index in ids if index not in self._vocabulary.special_ids]
        if self.word_level or not after_prefix:
            return self._vocabulary.decode(ids).strip()
        anchor, whole = self._vocabulary.decode(self._anchor), self._vocabulary.decode([*self._anchor, *ids])
        part = whole[len(anchor) :].rstrip() if whole.startswith(anchor) else self._vocabulary.decode(ids)
        bare = part.lstrip()
        return f" {bare}" if bare != part and bare[:1] in ATTACHING else bare

    def constraints(self, begin: int, end: int) -> TokenConstraints:
        """Return the constraints of a target with these begin and end ids."""
        mask = torch.zeros(self._vocabulary.size)
        mask[sorted({*self._vocabulary.special_ids, begin} - {end})] = -torch.inf
        first_mask = mask.clone()
        first_mask[end] = -torch.inf
        tokens = [self._vocabulary.id_to_token(index) for index in range(self._vocabulary.size)]
        # In a vocabulary without such prefixes every piece can begin a word.
        prefixed = any(token.startswith(WORD_PREFIXES) for token in tokens)
        begins = [not prefixed or token.startswith(WORD_PREFIXES) or token[:1] in ATTACHING for token in tokens]
        prefix_mask = torch.where(torch.tensor(begins) & (first_mask == 0), 0.0, -torch.inf)
        prefix_mask[end] = 0.0
        return TokenConstraints(begin, end, mask, first_mask, prefix_mask)
