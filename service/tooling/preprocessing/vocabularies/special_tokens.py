"""Names that libraries and trainers give to special tokens."""

from collections.abc import Iterable

_NAMES = {
    "unknown": (
        "<unk>",
        "[UNK]",
        "<UNK>",
        "UNK",
        "[unk]",
        "<oov>",
        "<OOV>",
        "OOV",
        "<unknown>",
        "<UNKNOWN>",
        "xxunk",
        "_UNK",
    ),
    "pad": ("<pad>", "[PAD]", "<PAD>", "PAD", "[pad]", "<blank>", "xxpad", "_PAD"),
    "begin": (
        "<s>",
        "<bos>",
        "<BOS>",
        "[BOS]",
        "<sos>",
        "<SOS>",
        "SOS",
        "BOS",
        "<start>",
        "<START>",
        "<go>",
        "<GO>",
        "_GO",
        "xxbos",
    ),
    "end": ("</s>", "<eos>", "<EOS>", "[EOS]", "EOS", "<end>", "<END>", "xxeos", "_EOS"),
}
_ROLES = {name: role for role, names in _NAMES.items() for name in names}


#: What fastai writes in front of capitals, repetitions and fields of a text.
FASTAI_MARKS = frozenset({"xxfld", "xxrep", "xxwrep", "xxup", "xxmaj"})


def is_special(entry: str) -> bool:
    """Return whether an entry is one that trainers use as a special token."""
    return entry in _ROLES or entry in FASTAI_MARKS


def find_roles(entries: Iterable[str]) -> dict[str, str]:
    """Return the special tokens among the entries by their roles. A role with several candidates is left out."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        if entry in _ROLES:
            found.setdefault(_ROLES[entry], []).append(entry)
    return {role: names[0] for role, names in found.items() if len(names) == 1}
