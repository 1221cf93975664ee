"""Characters that print nothing, which are dropped from text before it is read."""

import re

#: Controls but for tab and the ends of lines, soft hyphen, zero-width characters, word joiner, byte order mark.
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u200b-\u200d\u2060\ufeff]")


def visible_text(text: str) -> str:
    """Return a text without the characters that print nothing; most texts have none and are returned themselves."""
    return text if text.isprintable() else _INVISIBLE.sub("", text)
