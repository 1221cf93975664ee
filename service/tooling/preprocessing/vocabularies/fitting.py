"""Fitting of a vocabulary to the rows of a network: which entry each row stands for, and the special tokens."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from service.domain.errors import ModelFolderError
from service.tooling.preprocessing.vocabularies.special_tokens import find_roles
from service.tooling.preprocessing.vocabularies.words import Words

PAD, UNKNOWN = "<pad>", "<unk>"
#: Special tokens of the roles that a vocabulary states or a reader recognises.
Roles = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Fitted:
    """The entry of each row of a network, in order, the special tokens by role, and notes on what was added."""

    words: Words
    entries: tuple[str, ...]
    roles: dict[str, str]
    notes: tuple[str, ...]


def fit_words(words: Words, rows: int, stated: Roles | None = None) -> Fitted:
    """Return the vocabulary of a network with an embedding of `rows` rows.

    `stated` are special tokens that the user states, None if nothing is stated. Raises ModelFolderError if entries and
    rows do not fit, or fit in more than one way, and for an entry that is no text.
    """
    _require_characters(words)
    notes: list[str] = []
    entries = _with_front(words, rows, notes)
    if entries.get(0) == "" and PAD not in entries.values():
        entries[0] = PAD
        notes.append(f"entry 0, an empty text, is the padding {PAD}")
    entries = _with_one_more(words, entries, rows, stated or {}, notes)
    entries = _complete(words, entries, rows, notes)
    ordered = tuple(entries[index] for index in range(rows))
    roles = _roles(words, ordered, stated)
    _require_unknown(words, roles, stated)
    return Fitted(words, ordered, roles, (*notes, *_notes(words, roles)))


def _require_characters(words: Words) -> None:
    """Raise ModelFolderError for an entry with half a character, which JSON and pickles can hold and UTF-8 cannot."""
    for index, entry in words.entries.items():
        try:
            entry.encode()
        except UnicodeEncodeError:
            raise ModelFolderError(
                f"{words.origin}: entry {index} is {entry[:80]!r}: found half a character, expected text"
            ) from None


def _with_front(words: Words, rows: int, notes: list[str]) -> dict[int, str]:
    """Return the entries, behind the tokens that the library of such a file puts in front if the rows have them."""
    front, entries = words.front, dict(words.entries)
    if not front or words.numbered or len(front) + len(entries) != rows or set(front) & {*entries.values()}:
        return entries
    notes.append(f"{', '.join(front)} are put in front of the entries, as {words.kind} has them")
    return dict(enumerate((*front, *entries.values())))


def _roles(words: Words, entries: tuple[str, ...], stated: Roles | None) -> dict[str, str]:
    """Return the special tokens by role: if the user states some, these and the unknown and padding tokens only."""
    roles = {**find_roles(entries), **words.roles, **(stated or {})}
    if stated is not None:
        kept = {"unknown", "pad", *stated}
        roles = {role: token for role, token in roles.items() if role in kept}
    return {role: token for role, token in roles.items() if token in entries or role in (stated or {})}


def _with_one_more(words: Words, entries: dict[int, str], rows: int, stated: Roles, notes: list[str]) -> dict[int, str]:
    """Return the entries with a stated token for the one row that they lack. Raises ModelFolderError."""
    if (
        words.with_gaps
        or len(entries) + 1 != rows
        or min(entries, default=1) != 0
        or max(entries, default=0) != rows - 2
    ):
        return entries
    missing = [
        (role, stated[role]) for role in ("pad", "unknown") if stated.get(role, "") not in {"", *entries.values()}
    ]
    if missing:
        role, token = missing[0]
        notes.append(f"{token} is added as id {0 if role == 'pad' else rows - 1}, as stated")
        return dict(enumerate((token, *entries.values()) if role == "pad" else (*entries.values(), token)))
    raise ModelFolderError(
        f"{words.origin}: found {words}, and an embedding of {rows:,} rows: one more. Expected to be told which: with "
        f"""--set 'special_tokens={{"pad": "{PAD}"}}' row 0 is padding and the entries begin at 1, as in Keras; """
        f"""with --set 'special_tokens={{"unknown": "{UNKNOWN}"}}' the last row is that of unknown words"""
    )


def _complete(words: Words, entries: dict[int, str], rows: int, notes: list[str]) -> dict[int, str]:
    """Return the entries with names for rows that the file leaves out. Raises ModelFolderError if they do not fit."""
    if 0 not in entries and entries:
        entries = {0: _free(PAD, entries), **entries}
        notes.append(f"id 0, which the file leaves out, is the padding {entries[0]}")
    last = max(entries, default=-1)
    unused = [index for index in range(rows) if index not in entries]
    if last >= rows or (unused and not words.with_gaps):
        raise ModelFolderError(
            f"{words.origin}: found {words}, expected an entry for each of the {rows:,} rows of the embedding"
            f"{_difference(last, unused, rows)}"
        )
    if unused:
        entries = entries | {index: _free(f"<unused {index}>", entries) for index in unused}
        notes.append(f"{len(unused):,} rows of the embedding stand for no word: ids {unused[0]:,} to {unused[-1]:,}")
    return entries


def _difference(last: int, unused: list[int], rows: int) -> str:
    if last >= rows:
        return f": id {last:,} has none"
    return f": {len(unused):,} have no entry, the first of id {unused[0]:,}"


def _free(name: str, entries: Mapping[int, str]) -> str:
    """Return the name, with further brackets if an entry has it."""
    while name in entries.values():
        name = f"<{name}>"
    return name


def _require_unknown(words: Words, roles: Roles, stated: Roles | None) -> None:
    if "unknown" in roles or stated is not None or words.drops_unknown or words.closed:
        return
    if words.splitting == "characters":
        return
    raise ModelFolderError(
        f"{words.origin}: found no {UNKNOWN} among {len(words.entries):,} entries, expected it, or its name to be "
        """stated: --set 'special_tokens={"unknown": "NAME"}', or --set special_tokens={} if there is none """
        "and requests with unknown words are to be refused"
    )


def _notes(words: Words, roles: Roles) -> Iterator[str]:
    if words.remark:
        yield words.remark
    if roles:
        yield f"special tokens: {', '.join(f'{role} {token}' for role, token in roles.items())}"
    if "unknown" not in roles:
        dropped = f"; {words.kind} leaves such words out" if words.drops_unknown else ""
        yield f"there is no unknown token: requests with entries that the vocabulary lacks are refused{dropped}"
