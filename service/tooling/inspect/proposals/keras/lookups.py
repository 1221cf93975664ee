"""What layers of Keras that look words up in a vocabulary say of the length of texts and of its filling."""

from collections.abc import Iterator, Mapping
from typing import Any

from service.nets.config.architecture_config import MAX_WINDOW
from service.tooling.formats.network import SavedLayer

PAD = "<pad>"


def ids_shape(lookup: SavedLayer, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """Return the shape of the ids that a layer returns for an input: a text has as many as it has words."""
    if lookup.kind != "TextVectorization":
        return shape
    return (length_of(lookup),)


def length_of(lookup: SavedLayer) -> int | None:
    """Return the number of ids that each text is cut or filled up to, None if it has as many as it has words."""
    length = lookup.options.get("output_sequence_length")
    return length if type(length) is int and 0 < length <= MAX_WINDOW else None


def padding_of(lookup: SavedLayer | None, embedding: SavedLayer | None) -> dict[str, Any] | None:
    """Return the padding that a layer states; None if it states nothing, or a mask makes it of no effect."""
    length = None if lookup is None else length_of(lookup)
    if length is None or embedding is None or embedding.options.get("mask_zero"):
        return None
    return {"side": "right", "token": PAD, "length": length}


def cut_texts(lookup: SavedLayer | None) -> Iterator[str]:
    """Yield that a layer cuts long texts at another end than the window does."""
    if lookup is not None and (length := length_of(lookup)):
        yield f"Keras reads the first {length} words of longer texts ({lookup.name}); here the last are read: cut them"


def lacking_vocabulary(lookup: SavedLayer | None, content: object) -> Iterator[str]:
    """Yield that a file lacks the vocabulary of the layer."""
    if lookup is None:
        return
    found = content.get(lookup.name) if isinstance(content, Mapping) else None
    if isinstance(found, Mapping) and not found["config"]["vocabulary"]:
        yield f"the vocabulary of {lookup.name}, which the file lacks: give what get_vocabulary() of the layer returns"
