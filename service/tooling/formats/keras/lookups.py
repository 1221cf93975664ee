"""Keras layers in front of a network that turn text into ids, with the vocabulary that they keep in the file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from service.tooling.formats.keras.layer import KerasLayer
from service.tooling.formats.keras.model_json import UnsupportedModel

VOCABULARY = "vocabulary.txt"
MAX_VOCABULARY_BYTES = 2**26
LOOKUPS = {"TextVectorization", "StringLookup", "IntegerLookup"}
#: Options, and the values of them that are served.
_SERVED: Mapping[str, tuple[object, ...]] = {
    "standardize": (None, "lower", "strip_punctuation", "lower_and_strip_punctuation"),
    "split": (None, "whitespace", "character"),
    "ngrams": (None,),
    "output_mode": ("int",),
    "invert": (False,),
    "num_oov_indices": (0, 1),
    "encoding": ("utf-8",),
}
_WAY_OUT = (
    "expected the model without this layer, keras.Sequential(model.layers[1:]), and beside it the vocabulary that "
    "get_vocabulary() of the layer returns, as JSON"
)


def lookup_content(layer: KerasLayer, lines: Sequence[str]) -> dict[str, Any]:
    """Return class and configuration of a layer as JSON has them, with the vocabulary: its own, or else the `lines`.

    Raises UnsupportedModel for options that are not served.
    """
    if found := obstacle(layer.options):
        raise UnsupportedModel(f"{found} of the Keras layer {layer.kind} ({layer.name[:80]!r}), {_WAY_OUT}")
    stated = layer.options.get("vocabulary")
    entries = [*map(str, stated)] if isinstance(stated, list) and stated else [*lines]
    if len(set(entries)) != len(entries):
        again = Counter(entries).most_common(1)[0][0]
        raise UnsupportedModel(
            f"{again[:80]!r} twice in the vocabulary of the Keras layer {layer.name[:80]!r}, expected each entry once"
        )
    return {"class_name": layer.kind, "config": {**layer.options, "vocabulary": entries}}


def obstacle(options: Mapping[Any, Any]) -> str | None:
    """Return the option of a layer that is not served with its value, None if there is none."""
    for option, served in _SERVED.items():
        value = options.get(option, served[-1])
        if value not in served:
            return f"{option} {_shown(value)}, which is not served,"
    return None


def vocabulary_lines(content: bytes) -> list[str]:
    """Return the entries of a vocabulary.txt; a line end among them makes two empty lines. Raises UnsupportedModel."""
    try:
        lines = content.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UnsupportedModel(f"a {VOCABULARY} that is no text, expected it in UTF-8") from error
    while lines and lines[-1] == "":
        lines.pop()
    entries: list[str] = []
    number = 0
    while number < len(lines):
        is_line_end = number > 0 and lines[number : number + 2] == ["", ""]
        entries.append("\n" if is_line_end else lines[number])
        number += 2 if is_line_end else 1
    return entries


def _shown(value: object) -> str:
    """Return the name of a function of the user's, or the value."""
    name = value.get("config") if isinstance(value, dict) else value
    return repr(name)[:80]
