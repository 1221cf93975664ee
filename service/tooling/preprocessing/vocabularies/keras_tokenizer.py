"""Vocabularies of Keras' Tokenizer, as JSON or pickled."""

import json
from collections.abc import Mapping
from typing import Any

from service.nets.config.bounded_json import parse_json
from service.tooling.pickles.values import Instance
from service.tooling.preprocessing.vocabularies.words import Splitting, Words

#: What it leaves out by default.
TOKENIZER_FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'


def keras_tokenizer(value: Instance | Mapping[Any, Any], origin: str) -> Words | None:
    """Return the vocabulary of a Tokenizer, or None for another value."""
    config = _tokenizer_config(value)
    known = _entries(_decoded(config.get("word_index")), config.get("num_words"))
    if known is None:
        return None
    unknown = config.get("oov_token")
    splitting: Splitting = "characters" if config.get("char_level") is True else "spaces"
    lower, filters = config.get("lower", True) is True, config.get("filters", TOKENIZER_FILTERS)
    return Words(
        known,
        "a Keras Tokenizer",
        origin,
        numbered=True,
        roles={"unknown": unknown} if isinstance(unknown, str) and unknown in known.values() else {},
        splitting=splitting,
        lower=lower,
        filters="" if splitting == "characters" or not isinstance(filters, str) else filters,
        with_gaps=True,
        drops_unknown=unknown is None,
    )


def _tokenizer_config(value: Instance | Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return the settings of a Tokenizer, none for another value."""
    if isinstance(value, Instance):
        return value.attributes if value.name.endswith("text.Tokenizer") else {}
    inner = value.get("config")
    return inner if value.get("class_name") == "Tokenizer" and isinstance(inner, dict) else {}


def _entries(index: object, limit: object) -> dict[int, str] | None:
    """Return the words by their ids below the limit, if there is one, or None for another value than {word: id}."""
    if not isinstance(index, dict) or not all(type(number) is int and number > 0 for number in index.values()):
        return None
    known = {number: str(word) for word, number in index.items() if not isinstance(limit, int) or number < limit}
    return dict(sorted(known.items()))


def _decoded(value: object) -> object:
    """Return a value of Tokenizer.to_json, which writes dictionaries as texts of JSON."""
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value.encode())
    except (ValueError, json.JSONDecodeError):
        return None
