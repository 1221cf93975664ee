"""Vocabularies among the values of a file: dictionaries of ids, lists of words, and the objects of libraries."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from service.tooling.formats.values.state_dicts import entries_of
from service.tooling.pickles.values import Instance
from service.tooling.preprocessing.plain_values import texts_of
from service.tooling.preprocessing.vocabularies.keras_layers import words_of_layer
from service.tooling.preprocessing.vocabularies.keras_tokenizer import keras_tokenizer
from service.tooling.preprocessing.vocabularies.special_tokens import FASTAI_MARKS
from service.tooling.preprocessing.vocabularies.words import Words, splitting_of

#: Entries with which a dictionary or list can be a vocabulary, whatever it is called.
MIN_ENTRIES = 2
_FASTAI = (
    "text is written in lower case, as fastai does; the marks that it puts in front of capitals (xxmaj, xxup) and "
    "repetitions (xxrep) are left out unless a request has them"
)
#: Attributes that hold a vocabulary: lists of words, or dictionaries.
_HOLDERS = ("itos", "stoi", "idx2word", "word2idx", "index2word", "word2index", "ix_to_word", "word_to_ix")
#: Attributes of vocabulary objects that name their special tokens.
_ATTRIBUTES = {
    "unknown": ("unk_token", "unk_word", "oov_token"),
    "pad": ("pad_token", "pad_word"),
    "begin": ("init_token", "bos_token", "bos_word", "sos_token"),
    "end": ("eos_token", "eos_word"),
}


def words_of(value: object, origin: str) -> Words | None:
    """Return the vocabulary that a value is, or None if it is none."""
    if isinstance(value, Instance | dict) and (
        words := keras_tokenizer(value, origin) or words_of_layer(value, origin)
    ):
        return words
    if isinstance(value, dict):
        return _of_dictionary(value, origin)
    if (words := _of_object(value, origin)) is not None:
        return words
    texts = texts_of(value) or _native_torchtext(value)
    if texts is None or len(set(texts)) != len(texts) or len(texts) < MIN_ENTRIES:
        return None
    return of_list(texts, origin)


def of_list(texts: list[str], origin: str) -> Words:
    """Return the vocabulary of a list in the order of the ids."""
    if texts[:2] == ["", "[UNK]"]:
        # What get_vocabulary() of the layer returns.
        cut = splitting_of(dict(enumerate(texts)), "spaces")
        split = "character" if cut == "characters" else "whitespace"
        layer = {"standardize": "lower_and_strip_punctuation", "split": split, "vocabulary": texts}
        words = words_of_layer(layer, origin)
        if words is not None:
            return words
    entries = dict(enumerate(texts))
    if FASTAI_MARKS & {*texts}:
        return Words(entries, "a vocabulary of fastai", origin, lower=True, remark=_FASTAI)
    return Words(entries, "a list", origin, splitting=splitting_of(entries))


def _of_dictionary(value: Mapping[Any, Any], origin: str) -> Words | None:
    """Return the vocabulary of {word: id} or {id: word}, or None for other dictionaries."""
    if len(value) < MIN_ENTRIES:
        return None
    entries = _words_by_id(value)
    if not len(entries) == len({*entries.values()}) == len(value) or not _are_ids(entries):
        return None
    entries = dict(sorted(entries.items()))
    return Words(entries, "a dictionary", origin, numbered=True, splitting=splitting_of(entries))


def _words_by_id(value: Mapping[Any, Any]) -> dict[int, str]:
    """Return the words of {word: id} or {id: word} by their ids, none for other dictionaries."""
    keys, values = [*value], [*value.values()]
    if _are_texts(keys) and all(type(item) is int for item in values):
        return {index: word for word, index in value.items()}
    if _are_texts(values) and all(_is_id(key) for key in keys):
        return {int(key): word for key, word in value.items()}
    return {}


def _are_texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _is_id(key: object) -> bool:
    return type(key) is int or (isinstance(key, str) and re.fullmatch(r"[0-9]{1,9}", key) is not None)


def _are_ids(entries: Mapping[int, str]) -> bool:
    """Return whether numbers are ids: 0 or 1 and those that follow, without a gap."""
    first, last = min(entries), max(entries)
    return first in {0, 1} and last - first + 1 == len(entries)


def _native_torchtext(value: object) -> list[str] | None:
    """Return the entries of torchtext's vocabulary in machine code: (version, numbers, texts, tensors)."""
    state = value.state if isinstance(value, Instance) else None
    if (
        isinstance(value, Instance)
        and value.name.startswith("torchtext")
        and isinstance(state, tuple)
        and len(state) > 2
    ):
        return texts_of(state[2])
    return None


def object_roles(value: object) -> dict[str, str]:
    """Return the special tokens that an object or a dictionary names in its attributes, such as `unk_token`."""
    attributes = entries_of(value) if isinstance(value, dict | Instance) else {}
    found = {}
    for role, names in _ATTRIBUTES.items():
        token = next((attributes[name] for name in names if isinstance(attributes.get(name), str)), None)
        if token is not None:
            found[role] = token
    return found


def _of_object(value: object, origin: str) -> Words | None:
    """Return the vocabulary of an object that holds it under a usual name, such as torchtext's `itos`."""
    attributes = entries_of(value) if isinstance(value, Instance) else {}
    for name in _HOLDERS:
        held = attributes.get(name)
        words = _of_dictionary(held, origin) if isinstance(held, dict) else None
        texts = texts_of(held) if isinstance(held, list) else None
        if texts is not None and len(set(texts)) == len(texts) >= MIN_ENTRIES:
            words = of_list(texts, origin)
        if words is not None:
            roles = {role: token for role, token in object_roles(value).items() if token in words.entries.values()}
            return replace(words, roles={**words.roles, **roles})
    return None
