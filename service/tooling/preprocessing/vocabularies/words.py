"""A vocabulary as a file states it, before it is fitted to a network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from service.tooling.preprocessing.vocabularies.special_tokens import is_special

#: How text is cut: at words and punctuation, at each character, or at white space alone.
Splitting = Literal["words", "characters", "spaces"]


@dataclass(frozen=True, slots=True)
class Words:
    """Entries of a vocabulary by their ids, and what the file says of special tokens and of the cutting of text.

    `kind` and `origin` are for messages. The ids of a `numbered` vocabulary are stated, else they are positions in a
    list. `roles` are special tokens that the file names. `front` are entries that the library puts in front of those
    of the file, if the network has rows for them. A vocabulary `with_gaps` can have fewer entries than the network has
    rows, and one that `drops_unknown` is of a library that leaves unknown words out; to a `closed` one its library has
    no others. Each of the characters `filters` is read as `filtered`, and `ascii_only` says that other letters are not
    made `lower`. `remark` says what the library does with text beside.
    """

    entries: Mapping[int, str]
    kind: str
    origin: str
    numbered: bool = False
    roles: Mapping[str, str] = field(default_factory=dict)
    splitting: Splitting = "words"
    lower: bool = False
    ascii_only: bool = False
    filters: str = ""
    filtered: str = " "
    front: tuple[str, ...] = ()
    with_gaps: bool = False
    drops_unknown: bool = False
    closed: bool = False
    remark: str = ""

    def __str__(self) -> str:
        if not self.entries:
            return f"{self.kind} without entries"
        ids = f"ids {min(self.entries):,} to {max(self.entries):,}" if self.numbered else "in the order of the ids"
        return f"{self.kind} of {len(self.entries):,} entries, {ids}"


def splitting_of(entries: Mapping[int, str], otherwise: Splitting = "words") -> Splitting:
    """Return how text is cut into these entries: at each character, if all but special tokens are single characters."""
    plain = [entry for entry in entries.values() if entry and not is_special(entry)]
    return "characters" if len(plain) > 1 and all(len(entry) == 1 for entry in plain) else otherwise
