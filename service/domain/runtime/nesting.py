"""Nesting of JSON, measured before it is parsed.

Python's parser calls itself for each level, up to the limit of the interpreter. Objects that happen to be finalized
just then can call nothing, so their errors are written to the log.
"""

import re
from typing import Final

_ESCAPE: Final = re.compile(rb"\\.", re.DOTALL)
_OPENING: Final = b"[{"
_NO_BRACKETS: Final = bytes({*range(256)} - {*b"[]{}"})


def exceeds_depth(document: bytes, depth: int) -> bool:
    """Return whether lists and objects are nested more than `depth` times. The document may be no JSON."""
    if document.count(b"[") + document.count(b"{") <= depth:
        return False
    if b"\\" in document:
        document = _ESCAPE.sub(b"", document)
    outside_texts = b"".join(document.split(b'"')[::2])
    level = 0
    for bracket in outside_texts.translate(None, _NO_BRACKETS):
        level += 1 if bracket in _OPENING else -1
        if level > depth:
            return True
    return False
