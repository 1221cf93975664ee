"""Strict parsing of JSON that others wrote: bounded depth and numbers, no duplicate fields, no NaN."""

import json
import re
from typing import Any, NoReturn

from service.domain.runtime.nesting import exceeds_depth

#: Deeper than any file of a model folder.
MAX_DEPTH = 32
#: Digits of an integer. Python converts more of them in quadratic time, and refuses more than 4,300.
MAX_DIGITS = 100
_LONG_NUMBER = re.compile(rf"[0-9]{{{MAX_DIGITS + 1}}}")


def parse_json(content: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a JSON document. Raises ValueError, whose message says what is wrong.

    The number of elements is bounded by the number of bytes, which callers bound.
    """
    encoding = json.detect_encoding(content)
    text = content.decode(encoding)
    if exceeds_depth(content if encoding == "utf-8" else text.encode(), MAX_DEPTH):
        raise ValueError(f"more than {MAX_DEPTH} levels")
    # A function for each integer takes a third of the time; few documents have a long one.
    parse_int = _integer if _LONG_NUMBER.search(text) else None
    value = json.loads(
        text.removeprefix("\ufeff"), object_pairs_hook=_unique, parse_int=parse_int, parse_constant=_no_constant
    )
    if "\\" in text:
        _require_whole_characters(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object, and refuse a key that occurs twice."""
    unique = dict(pairs)
    if len(unique) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"the field {name[:80]!r} stands twice")
            seen.add(name)
    return unique


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"the number {digits[:20]}... is out of range")
    return int(digits)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _require_whole_characters(value: object) -> None:
    """Raise ValueError for half of a surrogate pair, which no UTF-8 text can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("a text holds half of a surrogate pair") from error
