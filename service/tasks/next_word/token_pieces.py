"""Texts of generated tokens for a stream, one for each: together they are the text of all tokens."""

from bisect import bisect_right
from collections.abc import Sequence

from service.tasks.vocabulary import Vocabulary

#: A character whose bytes are not complete is decoded as this one.
REPLACEMENT = "\ufffd"


class TokenPieces:
    """Decodes generated tokens one by one, and holds back those that a stop text may remove.

    A token is decoded together with the one or the few before it, on which its text depends: a word follows a space, a
    part of a word does not. A token that ends within a character is held back until the character is complete.

    `count` is the number of tokens that were added.
    """

    def __init__(self, vocabulary: Vocabulary, stops: Sequence[str]) -> None:
        self.count = 0
        self._vocabulary = vocabulary
        self._stops = stops
        self._text = ""
        #: The ends in the text of the tokens whose characters are complete.
        self._ends: list[int] = []
        #: The tokens that the next one is decoded with: the first ones give `_context` characters, the rest is pending.
        self._window: list[int] = []
        self._context = 0
        self._pending = 0
        #: The first place in the text where a stop text may begin.
        self._stop_start = 0
        self._returned = 0

    def add(self, index: int) -> None:
        """Add the next token."""
        self.count += 1
        self._window.append(index)
        self._pending += 1
        decoded = self._vocabulary.decode(self._window)
        if decoded.endswith(REPLACEMENT):
            return
        self._text += decoded[self._context :]
        # The tokens of a character stay or go together. Its first one brings the text.
        self._ends += [len(self._text)] * self._pending
        self._window = self._window[-self._pending :]
        self._context, self._pending = len(self._vocabulary.decode(self._window)), 0

    def certain(self) -> list[str]:
        """Return the pieces of the tokens that were not returned before and that no stop text can remove any more."""
        count = self._certain_count() if self._stops else len(self._ends)
        pieces = [self._piece(place, self._text) for place in range(self._returned, count)]
        self._returned = max(count, self._returned)
        return pieces

    def rest(self, count: int, text: str) -> list[str]:
        """Return the pieces of all further tokens, of which there are `count` altogether with this `text`."""
        ends = min(count - 1, len(self._ends))
        pieces = [self._piece(place, text) for place in range(self._returned, ends)]
        held = count - self._returned - len(pieces)
        if held > 0:
            start = self._ends[ends - 1] if ends else 0
            pieces += [""] * (held - 1) + [text[start:]]
        self._returned = count
        return pieces

    def _piece(self, place: int, text: str) -> str:
        return text[self._ends[place - 1] if place else 0 : self._ends[place]]

    def _certain_count(self) -> int:
        """Return the number of tokens that stay whatever follows.

        A stop text that begins inside a token removes the token, but what it has before the stop text becomes part of
        the text of the token in front. So a token stays with its piece if the next one does.
        """
        while self._stop_start < len(self._text) and not self._may_stop_at(self._stop_start):
            self._stop_start += 1
        certain = self._text[: self._stop_start]
        if self._vocabulary.word_level:  # white space before a stop text is removed, too
            certain = certain.rstrip()
        return bisect_right(self._ends, len(certain)) - 1

    def _may_stop_at(self, start: int) -> bool:
        beginning = self._text[start:]
        return any(stop.startswith(beginning) for stop in self._stops)
