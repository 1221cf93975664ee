"""Splitting of a text into sentences and the white space between them.

A sentence ends with a mark (. ! ? and the like, closing quotes and brackets included) before white space, or at a line
break. A full stop does not end one after an initial or a common abbreviation, nor if the next word is in lower case.
"""

import re
from collections.abc import Iterator

SPACE = re.compile(r"\s+")
ENDING = re.compile(r"(?:[.!?\u2026]+|[\u3002\uff01\uff1f]+)[\"'\u2019\u201d\u00bb)\]]*$")
ABBREVIATED = re.compile(
    r"(?:^|[\s(\"'\u201c])(?:[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|St|Mt|Jr|Sr|vs|etc|No|Nr|Fig|approx|[A-Za-z]\.[A-Za-z])\.$"
)

#: How many characters before a white space are searched for the end of a sentence.
TAIL = 32


def split_sentences(text: str) -> Iterator[tuple[str, str]]:
    """Yield the sentences of `text`, each with the white space that follows it; none for a blank text."""
    text, start = text.strip(), 0
    for space in SPACE.finditer(text):
        # The tail is short, since searching from the start each time would take quadratic time.
        tail = text[max(start, space.start() - TAIL) : space.start()]
        if _ends_sentence(tail, space.group(), text[space.end()]):
            yield text[start : space.start()], space.group()
            start = space.end()
    if text:
        yield text[start:], ""


def _ends_sentence(tail: str, space: str, following: str) -> bool:
    """Return whether a sentence ends between `tail` and the character `following`, at this white space."""
    if "\n" in space or "\r" in space:
        return True
    if not ENDING.search(tail):
        return False
    full_stop = tail.endswith(".")
    return not (full_stop and (following.islower() or ABBREVIATED.search(tail[-12:])))
