"""Vocabularies in text files: lists of words or characters, character sets, and dictionaries with counts or ids."""

import re
from collections.abc import Iterator, Sequence

from service.domain.errors import ModelFolderError
from service.tooling.preprocessing.vocabularies.values import of_list
from service.tooling.preprocessing.vocabularies.words import Words, splitting_of

#: `word count`, as fairseq writes it, and `word<TAB>count`, as OpenNMT does.
_NUMBERED = re.compile(r"(?P<entry>\S+)(?P<gap>[ \t])(?P<number>[0-9]{1,18})(?: #fairseq:overwrite)?")
_BY_ID = re.compile(r"(?P<number>[0-9]{1,9})[ \t,](?P<entry>\S+)")
#: What fairseq puts in front of the entries of dict.txt, and OpenNMT-py in front of those of a vocabulary file.
FAIRSEQ = ("<s>", "<pad>", "</s>", "<unk>")
OPENNMT = ("<unk>", "<blank>", "<s>", "</s>")
#: Characters of a text that can be a character set.
MIN_CHARACTERS = 3
EXPECTED = "one word per line in UTF-8"


def words_of_text(content: bytes, origin: str) -> Words:
    """Return the vocabulary of a text file. Raises ModelFolderError."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelFolderError(f"{origin}: cannot be read: {error}; expected {EXPECTED}") from error
    if text.count("\r\n") == text.count("\n"):
        text = text.replace("\r\n", "\n")
    if characters := _character_set(text):
        return Words(dict(enumerate(characters)), "a character set", origin, splitting="characters")
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return _with_numbers(lines, origin) or of_list(_entries(lines, origin), origin)


def _character_set(text: str) -> str:
    """Return the characters of a text that has each of them once, in order: a line end is one of the first two."""
    line = text.removesuffix("\n")
    longest = max(map(len, line.split("\n")))
    if longest < MIN_CHARACTERS or len(set(line)) != len(line) or line.rfind("\n") > 1:
        return ""
    return line


def _entries(lines: Sequence[str], origin: str) -> list[str]:
    """Return the entries in order. Raises ModelFolderError for one that stands twice, or is empty."""
    seen: dict[str, int] = {}
    for number, entry in _numbered(lines):
        if entry in seen or (entry == "" and number > 1):
            found = f"{entry[:80]!r} again, first on line {seen[entry]}" if entry else "an empty line"
            raise ModelFolderError(f"{origin}: line {number}: found {found}, expected one word that stands only once")
        seen[entry] = number
    return [*seen]


def _numbered(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield the number and entry of each line; of characters, the line end is one, which makes two empty lines."""
    are_characters = sum(len(line) == 1 for line in lines) > len(lines) // 2
    number = 0
    while number < len(lines):
        is_line_end = are_characters and [*lines[number : number + 2]] == ["", ""]
        entry = "\n" if is_line_end else lines[number]
        number += 2 if is_line_end else 1
        yield number, entry


def _with_numbers(lines: Sequence[str], origin: str) -> Words | None:
    """Return the vocabulary of lines with a word and a number each, or None for other lines."""
    matches = [_NUMBERED.fullmatch(line) for line in lines]
    if len(lines) < MIN_CHARACTERS or None in matches:
        return _by_id([_BY_ID.fullmatch(line) for line in lines], origin)
    found = [match for match in matches if match is not None]
    ids = _by_id(matches, origin)
    if ids is not None:
        return ids
    texts = [match["entry"] for match in found]
    if found[0]["gap"] == "\t":
        return _list("a vocabulary of OpenNMT", texts, origin, OPENNMT)
    return _list("a dictionary of fairseq", [*(mark for mark in FAIRSEQ if mark not in texts), *texts], origin, ())


def _list(kind: str, texts: list[str], origin: str, front: tuple[str, ...]) -> Words:
    """Return the vocabulary of words that are separated by white space. Raises ModelFolderError for repeated ones."""
    if len(set(texts)) != len(texts):
        again = next(text for index, text in enumerate(texts) if text in texts[:index])
        raise ModelFolderError(f"{origin}: found {again[:80]!r} twice, expected each entry once")
    entries = dict(enumerate(texts))
    return Words(entries, kind, origin, splitting=splitting_of(entries, "spaces"), front=front)


def _by_id(matches: Sequence[re.Match[str] | None], origin: str) -> Words | None:
    """Return the vocabulary of words with ids, which are 0 or 1 and those that follow; None if they are others."""
    found = [match for match in matches if match is not None]
    entries = {int(match["number"]): match["entry"] for match in found}
    if not found or len(found) != len(matches) or len(entries) != len(found) or len({*entries.values()}) != len(found):
        return None
    first = min(entries)
    if first > 1 or max(entries) - first + 1 != len(entries):
        return None
    entries = dict(sorted(entries.items()))
    return Words(entries, "a table of words and ids", origin, numbered=True, splitting=splitting_of(entries))
