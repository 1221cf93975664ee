"""Reading of protocol buffers' text format without the types of the messages.

protobuf's own reader needs the message classes, which Triton's packages bring along. A message here is a dictionary of
lists, since any field may be repeated; names stay texts, as those of enumerations.
"""

import re
from collections.abc import Iterator
from typing import Final, TypeAlias

from service.domain.visible_text import visible_text

MAX_TOKENS: Final = 200_000
MAX_DEPTH: Final = 16
MAX_SHOWN: Final = 40

Value: TypeAlias = "str | int | float | bool | Message"
Message: TypeAlias = "dict[str, list[Value]]"

_TOKEN: Final = re.compile(
    r"""[\s,;]+|\#[^\n]*"""
    r"""|(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    r"""|(?P<number>[-+]?(?:\d[\w.+-]*|\.\d[\w.+-]*))"""
    r"""|(?P<word>-?[A-Za-z_][\w./]*)"""
    r"""|(?P<mark>[:{}<>\[\]])"""
)
_ENDS: Final = {"{": "}", "<": ">"}
_WORDS: Final = {"true": True, "false": False, "t": True, "f": False}
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}


class TextFormatError(ValueError):
    """Raised with the line of what cannot be read, and what was expected."""


def parse_message(content: str) -> Message:
    """Return the message that a text holds. Raises TextFormatError."""
    return _Parser(content).message("", 0)


class _Parser:
    def __init__(self, content: str) -> None:
        self._tokens = _tokens(content)
        self._next = next(self._tokens)

    def message(self, end: str, depth: int) -> Message:
        """Return the fields up to the mark `end`, or to the end of the text."""
        if depth > MAX_DEPTH:
            raise self._error(f"messages nested at most {MAX_DEPTH} deep")
        fields: Message = {}
        while self._next[1] != end or self._next[0] not in {"mark", "end"}:
            kind, name, _ = self._next
            if kind != "word":
                raise self._error(f"the name of a field or {end or 'the end of the file'}")
            self._advance()
            fields.setdefault(name, []).extend(self._values(depth))
        self._advance()
        return fields

    def _values(self, depth: int) -> Iterator[Value]:
        """Yield the value of a field, or those of its list."""
        if self._next[:2] == ("mark", ":"):
            self._advance()
        elif self._next[0] != "mark":
            raise self._error("a colon or a message behind the name of a field")
        if self._next[:2] != ("mark", "["):
            yield self._value(depth)
            return
        self._advance()
        while self._next[:2] != ("mark", "]"):
            yield self._value(depth)
        self._advance()

    def _value(self, depth: int) -> Value:
        kind, text, _ = self._next
        if kind == "mark" and text in _ENDS:
            self._advance()
            return self.message(_ENDS[text], depth + 1)
        if kind == "text":
            parts = []
            while self._next[0] == "text":  # texts that follow each other are one
                parts.append(_unescaped(self._advance()))
            return "".join(parts)
        if kind == "number":
            return self._number(text)
        if kind == "word":
            self._advance()
            return _WORDS.get(text.lower(), text) if text.lower() in _WORDS else text
        raise self._error("a value")

    def _number(self, text: str) -> int | float:
        try:
            number = float(text.rstrip("fF")) if re.search(r"[.eEfF]", text) and "x" not in text else int(text, 0)
        except ValueError:
            raise self._error("a number") from None
        self._advance()
        return number

    def _advance(self) -> str:
        text = self._next[1]
        self._next = next(self._tokens)
        return text

    def _error(self, expected: str) -> TextFormatError:
        kind, text, line = self._next
        found = "the end of the file" if kind == "end" else repr(visible_text(text)[:MAX_SHOWN])
        return TextFormatError(f"line {line}: found {found}, expected {expected}")


def _tokens(content: str) -> Iterator[tuple[str, str, int]]:
    """Yield kind, text and line of each token, and then the end for ever. Raises TextFormatError."""
    position, line, count = 0, 1, 0
    while position < len(content):
        match = _TOKEN.match(content, position)
        if match is None:
            raise TextFormatError(f"line {line}: found {content[position]!r}, expected a field, a value or a comment")
        if match.lastgroup is not None:
            count += 1
            if count > MAX_TOKENS:
                raise TextFormatError(f"line {line}: found more than {MAX_TOKENS} words and marks, expected fewer")
            yield match.lastgroup, match.group(), line
        line += match.group().count("\n")
        position = match.end()
    while True:
        yield "end", "", line


def _unescaped(quoted: str) -> str:
    """Return the content of a text; of escapes those that names of files and tensors may have."""
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match.group(1), match.group(1)), quoted[1:-1])
