"""Damage to well-formed JSON and bytes: one value or field is wrong, or the bytes themselves are."""

import copy
import gzip
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from tests.attack.attackers.grammar import NUMBERS, TEXTS

#: What a value becomes, as it stands in the text.
_TOKENS = [
    *NUMBERS,
    *(json.dumps(text) for text in TEXTS),
    "-0.0",
    "1E+2",
    "1e999999999999",
    "9" * 300_000,
    "0." + "1" * 100_000,
    '"' + "x" * 70_000 + '"',
    '"\\ud800\\ud800"',
    "[" * 100_000,
    "[" * 20_000 + "]" * 20_000,
    '{"a":' * 20_000 + "1" + "}" * 20_000,
    "[null]",
    "[[[]]]",
    '{"a":1,"a":2}',
    '{"":{}}',
    "false",
    "[1,2,3]",
    "nul",
    "'a'",
    '"a\nb"',
    "/**/1",
    "\x00",
    "\ufeff1",
]
#: Marks a place in a value; the text that it stands for is put there behind json.dumps.
_MARK = "\x01place\x01"
#: Behind a name, it makes the name one that is there already.
_AGAIN = "\x02"
_MANY = 1100
_GROWTH_BYTES = 300_000

Place = tuple[Any, Any]


def damaged(choose: random.Random, value: Any) -> bytes:
    """Return a JSON value as bytes, damaged once or twice."""
    value, tokens = copy.deepcopy(value), list[str]()
    for _ in range(choose.choice([0, 1, 1, 1, 2])):
        places = list(_places(value))
        if places:
            _CHANGES[choose.randrange(len(_CHANGES))](choose, choose.choice(places), tokens)
    text = json.dumps(value, ensure_ascii=choose.random() < 0.7).replace(json.dumps(_AGAIN)[1:], '"')
    for token in tokens:
        text = text.replace(json.dumps(_MARK), token, 1)
    content = text.encode("utf-8", "surrogatepass")
    return damaged_bytes(choose, content) if choose.random() < 0.25 else content


def _places(value: Any) -> Iterator[Place]:
    """Yield every container of a value with each of its keys."""
    keys: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


def _replace(choose: random.Random, place: Place, tokens: list[str]) -> None:
    container, key = place
    container[key] = _MARK
    tokens.append(choose.choice(_TOKENS))


def _remove(choose: random.Random, place: Place, tokens: list[str]) -> None:
    container, key = place
    container.pop(key)


def _rename(choose: random.Random, place: Place, tokens: list[str]) -> None:
    container, key = place
    if isinstance(container, dict):
        container[choose.choice([*TEXTS, f"{key} ", key.upper()])] = container.pop(key)


def _repeat_name(choose: random.Random, place: Place, tokens: list[str]) -> None:
    container, key = place
    if isinstance(container, dict):
        container[key + _AGAIN] = _MARK
        tokens.append(choose.choice(_TOKENS))


def _wrap(choose: random.Random, place: Place, tokens: list[str]) -> None:
    container, key = place
    container[key] = choose.choice([[container[key]], {"value": container[key]}, [container[key]] * 2])


def _multiply(choose: random.Random, place: Place, tokens: list[str]) -> None:
    """Make a list long, or an object wide, as far as the body stays readable."""
    container, key = place
    value = container[key]
    size = len(json.dumps(value))
    if isinstance(value, list) and value and size * _MANY < _GROWTH_BYTES:
        container[key] = value * _MANY
    elif isinstance(container, dict) and size * _MANY < _GROWTH_BYTES:
        container.update({f"{key}{number}": value for number in range(_MANY)})


_CHANGES: list[Callable[[random.Random, Place, list[str]], None]] = [
    _replace,
    _replace,
    _replace,
    _remove,
    _rename,
    _repeat_name,
    _wrap,
    _multiply,
]


def damaged_bytes(choose: random.Random, content: bytes) -> bytes:
    """Return bytes of which some are missing, other ones, repeated or encoded in another way."""
    return choose.choice(_ON_BYTES)(choose, content)


def _cut(choose: random.Random, content: bytes) -> bytes:
    return content[: choose.randrange(len(content) + 1)]


def _flip(choose: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(choose.choice([1, 1, 2, 20]) if content else 0):
        changed[choose.randrange(len(changed))] = choose.randrange(256)
    return bytes(changed)


def _insert(choose: random.Random, content: bytes) -> bytes:
    place = choose.randrange(len(content) + 1)
    return content[:place] + choose.randbytes(choose.choice([1, 2, 8, 100])) + content[place:]


def _drop(choose: random.Random, content: bytes) -> bytes:
    place = choose.randrange(len(content) + 1)
    return content[:place] + content[place + choose.choice([1, 2, 8, 100]) :]


def _repeat(choose: random.Random, content: bytes) -> bytes:
    start = choose.randrange(len(content) + 1)
    end = min(len(content), start + choose.choice([1, 8, 64]))
    return content[:end] + content[start:end] * choose.choice([1, 1, 500]) + content[end:]


def _huge_number(choose: random.Random, content: bytes) -> bytes:
    """Write a length, a count or an offset that cannot be."""
    place = choose.randrange(len(content) + 1)
    number = choose.choice([b"\xff" * 4, b"\xff" * 8, b"\x7f" + b"\xff" * 3, b"\xff" * 9 + b"\x01", bytes(8)])
    return content[:place] + number + content[place + len(number) :]


def _encode(choose: random.Random, content: bytes) -> bytes:
    text = content.decode("latin-1")
    return choose.choice(
        [
            gzip.compress(content, 1, mtime=0),
            b"\xef\xbb\xbf" + content,
            text.encode("utf-16"),
            text.encode("utf-32"),
            content + b"\x00",
            content + content,
            b"",
        ]
    )


_ON_BYTES: list[Callable[[random.Random, bytes], bytes]] = [
    _cut,
    _flip,
    _flip,
    _insert,
    _drop,
    _repeat,
    _huge_number,
    _encode,
]
