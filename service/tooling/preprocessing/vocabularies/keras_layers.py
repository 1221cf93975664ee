"""Vocabularies of the layers of Keras that turn text into ids: TextVectorization, StringLookup and IntegerLookup."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.domain.errors import ModelFolderError
from service.tooling.formats.keras.lookups import LOOKUPS, obstacle
from service.tooling.formats.keras.model_json import as_object, class_of
from service.tooling.pickles.values import Instance
from service.tooling.preprocessing.plain_values import texts_of
from service.tooling.preprocessing.vocabularies.words import Words

#: What TextVectorization leaves out by default.
STANDARD_FILTERS = "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'"
UNKNOWN = "[UNK]"


@dataclass(frozen=True, slots=True)
class UnfilledLayer:
    """A layer whose vocabulary is not in the file of its network, but which says how text is cut."""

    kind: str
    config: Mapping[Any, Any]
    origin: str

    def __str__(self) -> str:
        return f"a {self.kind} layer without its vocabulary"

    def filled(self, words: Words) -> Words:
        """Return a vocabulary that is given apart as that of the layer. Raises ModelFolderError."""
        texts = [*words.entries.values()]
        if [*words.entries] != [*range(len(texts))]:
            raise ModelFolderError(
                f"{words.origin}: found {words}, expected the list that get_vocabulary() of the {self.kind} returns"
            )
        return words_of_layer({**self.config, "vocabulary": texts}, words.origin) or words


def unfilled_layer(value: object, origin: str) -> UnfilledLayer | None:
    """Return the layer that a configuration without a vocabulary describes, None for another value."""
    kind, config = class_of(value), as_object(value).get("config")
    if kind not in LOOKUPS or not isinstance(config, dict) or config.get("vocabulary"):
        return None
    return UnfilledLayer(kind, config, origin)


def words_of_layer(value: Instance | Mapping[Any, Any], origin: str) -> Words | None:
    """Return the vocabulary of a layer's configuration, None for another value. Raises ModelFolderError."""
    if isinstance(value, Instance):
        return None
    inner = value.get("config")
    config = inner if class_of(value) in LOOKUPS and isinstance(inner, dict) else value
    texts = texts_of(config.get("vocabulary")) or _texts_of_numbers(config.get("vocabulary"))
    if texts is None:
        return None
    if {"standardize", "split"} <= config.keys():
        return _text_vectorization(config, texts, origin)
    return _lookup(config, texts, origin) if {"num_oov_indices", "oov_token"} <= config.keys() else None


def _texts_of_numbers(value: object) -> list[str] | None:
    """Return the entries of an IntegerLookup."""
    numbers = value if isinstance(value, list) else []
    return [str(number) for number in numbers] if numbers and all(type(number) is int for number in numbers) else None


def _text_vectorization(config: Mapping[Any, Any], texts: list[str], origin: str) -> Words:
    _require_served(config, "TextVectorization", origin)
    texts = texts if texts[:1] == [""] else ["", UNKNOWN, *texts]
    standardize = config.get("standardize")
    return Words(
        dict(enumerate(texts)),
        "a TextVectorization layer",
        origin,
        roles={"unknown": texts[1]} if len(texts) > 1 else {},
        splitting="characters" if config.get("split") == "character" else "spaces",
        lower=standardize in {"lower", "lower_and_strip_punctuation"},
        ascii_only=True,
        filters=STANDARD_FILTERS if standardize in {"strip_punctuation", "lower_and_strip_punctuation"} else "",
        filtered="",
        with_gaps=True,
    )


def _lookup(config: Mapping[Any, Any], texts: list[str], origin: str) -> Words:
    """Return the entries behind those of the mask and of unknown ones, which a vocabulary can have already."""
    numbers = config.get("vocabulary_dtype", "string") != "string"
    kind = "IntegerLookup" if numbers else "StringLookup"
    _require_served(config, kind, origin)
    mask, unknown, count = config.get("mask_token"), config.get("oov_token"), config.get("num_oov_indices")
    front = [*([str(mask)] if mask is not None else []), *([str(unknown)] if count else [])]
    plain = texts[len(front) :] if texts[: len(front)] == front else texts
    if numbers:  # numbers, which stand within others, are no names of special tokens
        front = [*([""] if mask is not None else []), *([UNKNOWN] if count else [])]
    return Words(
        dict(enumerate([*front, *plain])),
        f"a {kind} layer",
        origin,
        roles={"unknown": front[-1]} if count else {},
        splitting="spaces",
        with_gaps=True,
        closed=not count,
    )


def _require_served(config: Mapping[Any, Any], kind: str, origin: str) -> None:
    if found := obstacle(config):
        raise ModelFolderError(
            f"{origin}: found {found} of a {kind} layer, expected the vocabulary that its get_vocabulary() returns, "
            "as JSON, and texts that are prepared before they are sent"
        )
