"""Cuts a text into sentences and keeps what stands between them.

A sentence ends with a mark (. ! ? and the like, closing quotes and brackets included) before white space, or at a line
break. A full stop does not end one after an initial or a common abbreviation, nor where the next word is in lower case.
"""

import re

SPACE = re.compile(r"\s+")
ENDING = re.compile(r"(?:[.!?\u2026]+|[\u3002\uff01\uff1f]+)[\"'\u2019\u201d\u00bb)\]]*$")
ABBREVIATED = re.compile(
    r"(?:^|[\s(\"'\u201c])(?:[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|St|Mt|Jr|Sr|vs|etc|No|Nr|Fig|approx|[A-Za-z]\.[A-Za-z])\.$"
)

#: How far before a white space its sentence's end is looked for.
TAIL = 32


def split_sentences(text: str) -> list[tuple[str, str]]:
    """Return the sentences of `text`, each with the white space behind it; empty for a blank text."""
    found: list[tuple[str, str]] = []
    text, start = text.strip(), 0
    for space in SPACE.finditer(text):
        # A short tail tells: looking back to the start each time would take the square of the length.
        tail = text[max(start, space.start() - TAIL) : space.start()]
        if _ends(tail, space.group(), text[space.end()]):
            found.append((text[start : space.start()], space.group()))
            start = space.end()
    return [*found, (text[start:], "")] if text else []


def _ends(before: str, space: str, following: str) -> bool:
    """Tell whether a sentence ends where `space` follows on `before`."""
    if "\n" in space or "\r" in space:
        return True
    if not ENDING.search(before):
        return False
    stopped = before.endswith(".")
    return not (stopped and (following.islower() or ABBREVIATED.search(before[-12:])))
