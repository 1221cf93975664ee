"""Source and target text as the pieces of a translation network, and back.

A target is accepted in parts, so it matters where words begin. A part begins a new word, unless its first character is
a mark that attaches to the word before (a comma, a full stop, the hyphen of `-vous`); with a white space in front such
a mark stands by itself, as before a French question mark. What the network proposes is told in the same notation, so
that it can be fed back as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from service.domain.operations import TextInput
from service.tasks.vocabulary import EncodedText, Vocabulary

ATTACHING = frozenset(".,;:!?\u2026)]}%'\u2019\u201d-")
#: What begins the first piece of a word: SentencePiece's mark, GPT-2's mark, a plain space.
SPACES = ("\u2581", "\u0120", " ")
ANCHOR = "a"


@dataclass(frozen=True, slots=True)
class TokenConstraints:
    """Ids that mean something, and what may come where: (V,), zero for allowed, minus infinity for not.

    `never` holds of every piece, `first` of the first of a sentence (no translation is empty), `onward` of the first
    after accepted words: a new word, an attaching mark or the end. `starts` are the pieces of `onward` without the end.
    """

    begin: int
    end: int
    never: Tensor
    first: Tensor
    onward: Tensor
    starts: Tensor


class SubwordCodec:
    """A vocabulary with the rules of words around it."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self.word_level = vocabulary.word_level
        self._anchor = [] if self.word_level else vocabulary.encode(TextInput(text=ANCHOR)).ids

    def token(self, index: int) -> str:
        """Return how a piece reads."""
        return self._vocabulary.id_to_token(index)

    def encode(self, text: str, field: str, *, follows: bool = False) -> EncodedText:
        """Encode a text; `follows`: it stands behind other words. No special token comes out."""
        bare = text.strip()
        if self.word_level or not follows or not bare:
            return self._plain(bare, field) if bare else EncodedText([], [], [])
        between = "" if text[:1] in ATTACHING else " "
        whole = self._plain(f"{ANCHOR}{between}{bare}", field)
        count = len(self._anchor)
        if whole.ids[:count] != self._anchor:
            return self._plain(bare, field)
        return EncodedText(whole.ids[count:], whole.tokens[count:], whole.unknown)

    def _plain(self, text: str, field: str) -> EncodedText:
        vocabulary = self._vocabulary
        encoded = vocabulary.encode(TextInput(text=text), field)
        pairs = list(zip(encoded.ids, encoded.tokens, strict=True))
        if not any(index in vocabulary.special_ids for index in encoded.ids):
            return encoded
        # A mark spelled out by a client, "</s>", is a word that nobody knows.
        spelled = [token for index, token in pairs if index in vocabulary.special_ids - {vocabulary.unknown_id}]
        read = [(vocabulary.unknown_id if index in vocabulary.special_ids else index, token) for index, token in pairs]
        kept = [(index, token) for index, token in read if index is not None]
        return EncodedText([index for index, _ in kept], [token for _, token in kept], [*encoded.unknown, *spelled])

    def text(self, ids: Sequence[int], *, follows: bool = False) -> str:
        """Join pieces, special ones left out; `follows`: in the notation of a part behind other words."""
        ids = [index for index in ids if index not in self._vocabulary.special_ids]
        if self.word_level or not follows:
            return self._vocabulary.decode(ids).strip()
        before, whole = self._vocabulary.decode(self._anchor), self._vocabulary.decode([*self._anchor, *ids])
        part = whole[len(before) :].rstrip() if whole.startswith(before) else self._vocabulary.decode(ids)
        bare = part.lstrip()
        return f" {bare}" if bare != part and bare[:1] in ATTACHING else bare

    def marks(self, begin: int, end: int) -> TokenConstraints:
        """Return the rules for the pieces of a target."""
        special = self._vocabulary.special_ids
        never = torch.zeros(self._vocabulary.size)
        never[sorted({*special, begin} - {end})] = -torch.inf
        first = never.clone()
        first[end] = -torch.inf
        entries = [self._vocabulary.id_to_token(index) for index in range(self._vocabulary.size)]
        # A mark of spaces that no piece begins with is no mark of this vocabulary.
        marked = any(entry.startswith(SPACES) for entry in entries)
        starts = torch.tensor([not marked or entry.startswith(SPACES) or entry[:1] in ATTACHING for entry in entries])
        starts &= first == 0
        onward = torch.where(starts, 0.0, -torch.inf)
        onward[end] = 0.0
        return TokenConstraints(begin, end, never, first, onward, starts)
