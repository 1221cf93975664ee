"""Choice of the vocabulary of each side of a network among those that were found."""

import re
from collections.abc import Mapping, Sequence

from service.domain.errors import ModelFolderError
from service.tooling.preprocessing.given import Candidate
from service.tooling.preprocessing.vocabularies.words import Words

SOURCE = re.compile(r"(?:^|[._\d])(?:src|source|enc|encoder|in|input)(?:$|[._\d])|^(?:src|source|input)")
TARGET = re.compile(r"(?:^|[._\d])(?:tgt|trg|target|dec|decoder|out|output)(?:$|[._\d])|^(?:tgt|trg|target|output)")
#: Names of what is a vocabulary beside the weights, and of what is labels.
VOCABULARY = re.compile(r"vocab|word|char|token|[si]to[si]|dictionary|stoi", re.IGNORECASE)
LABELS = re.compile(r"label|tag|class|categor|intent", re.IGNORECASE)


def fits(words: Words, rows: int) -> bool:
    """Return whether a vocabulary can be that of `rows` rows, as it is or with a row more."""
    last = max(words.entries, default=0)
    fits_exactly = len(words.entries) in {rows, rows - 1, rows - len(words.front)} and last < rows
    return fits_exactly or (words.with_gaps and last < rows)


def choose_words(candidates: Sequence[Candidate], rows: Mapping[str, int]) -> tuple[dict[str, Words], list[str]]:
    """Return the vocabulary of each side, of which `rows` has the size, and notes. The only side of a network is "".

    Raises ModelFolderError if it is open which of the given vocabularies is meant.
    """
    found = [(item, item.found.item) for item in candidates if isinstance(item.found.item, Words)]
    chosen: dict[str, Words] = {}
    notes: list[str] = []
    for side, size in rows.items():
        own = [pair for pair in found if not side or _side(pair[0]) in {side, ""}]
        named = [pair for pair in own if side and _side(pair[0]) == side]
        words = _choose(named or own, size, notes)
        if words is not None:
            chosen[side] = words
    return (chosen if len(chosen) == len(rows) else {}), notes


def _side(candidate: Candidate) -> str:
    name = candidate.found.place.lower()
    if candidate.part in {"source", "target"}:
        return candidate.part
    return "source" if SOURCE.search(name) else "target" if TARGET.search(name) else ""


def _choose(own: Sequence[tuple[Candidate, Words]], size: int, notes: list[str]) -> Words | None:
    """Return the vocabulary that is meant, None if the file of the network holds none. Raises ModelFolderError."""
    exact = [words for _, words in own if len(words.entries) == size]
    fitting = exact or [words for _, words in own if fits(words, size)]
    if own and own[0][0].given:
        return _choose_given([words for _, words in own], fitting, size)
    return _choose_in_file(own, fitting, size, notes)


def _choose_given(own: Sequence[Words], fitting: Sequence[Words], size: int) -> Words:
    """Return the vocabulary that is given, or of several the one that fits. Raises ModelFolderError."""
    if len(own) == 1 or len(fitting) == 1:
        return fitting[0] if fitting else own[0]
    listed = "; ".join(f"{words.origin}: {words}" for words in own)
    raise ModelFolderError(
        f"{own[0].origin}: found several vocabularies for {size:,} rows ({listed[:500]}), expected one, or two "
        "of a translation as source=FILE target=FILE"
    )


def _choose_in_file(
    own: Sequence[tuple[Candidate, Words]], fitting: Sequence[Words], size: int, notes: list[str]
) -> Words | None:
    """Return the one vocabulary that fits, by its name where several do, and note what else could be meant."""
    named = [
        words for item, words in own if VOCABULARY.search(item.found.place) and not LABELS.search(item.found.place)
    ]
    both = [words for words in fitting if words in named]
    if len(both or fitting) == 1:
        words = (both or fitting)[0]
        notes.append(f"the vocabulary is {words.origin.rpartition(': ')[2]} in the file: {words}")
        return words
    notes += [f"{words.origin}: {words}, which does not fit {size:,} rows" for words in named if words not in fitting]
    notes += [f"{words.origin}: {words}, one of several that fit {size:,} rows" for words in both or fitting]
    return None
