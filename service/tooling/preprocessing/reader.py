"""Reading of a file of preprocessing, whose kind is recognised by its content. Nothing of it is imported or run."""

import io
from collections.abc import Callable
from pathlib import Path

from service.domain.errors import ModelFolderError
from service.nets.config.bounded_json import parse_json
from service.tooling.formats.numpy_files import MAGIC, read_array
from service.tooling.formats.other_files import is_text_file
from service.tooling.formats.pytorch.zip_file import PICKLE, read_torch_zip
from service.tooling.formats.source import Source, open_source
from service.tooling.formats.values.state_dicts import find_state_dicts
from service.tooling.pickles.budget import MAX_PICKLE_BYTES, PickleBudget
from service.tooling.pickles.values import PickleError
from service.tooling.preprocessing.contents import CompleteFile, Found, find_contents, item_of
from service.tooling.preprocessing.joblib_files import is_compressed, read_dump, unpacked
from service.tooling.preprocessing.keras_files import keras_preprocessing
from service.tooling.preprocessing.vocabularies.text_files import words_of_text
from service.tooling.preprocessing.vocabularies.words import Words

#: Larger files are networks.
MAX_BYTES = 2**26
#: How pickles start: of protocol 2 and later, and those before.
_PICKLES = (b"\x80", b"(", b"]", b"}", b"c")
_JSON = (b"{", b"[", b'"')


def read_preprocessing(path: Path, *, text: bool = True) -> list[Found]:
    """Return the vocabularies, scalers and labels in a file; none if it holds something else, such as a network.

    Any text file is a word list, if `text` is true. Raises ModelFolderError for a damaged or contradictory file.
    """
    if path.is_dir():
        return []
    with open_source(path) as source:
        if source.archive is not None:
            return keras_preprocessing(source) or _of_torch(source)
        if source.size > MAX_BYTES:
            return []
        for starts, read in _READERS:
            if starts(source.head) and (found := read(source)):
                return found
        if text and is_text_file(source):
            return [Found("", words_of_text(source.rewound().read(), str(path)))]
    return []


def read_words(path: Path) -> Words:
    """Return the only vocabulary of a file. Raises ModelFolderError for a file of another kind."""
    items = [found.item for found in read_preprocessing(path)]
    if len(items) != 1 or not isinstance(items[0], Words):
        found = ", ".join(map(str, items))[:300] or "no vocabulary"
        raise ModelFolderError(f"{path}: found {found}, expected one vocabulary (docs/import.md)")
    return items[0]


def _of_torch(source: Source) -> list[Found]:
    """Return the contents of a file of `torch.save` without a network."""
    if source.archive is None or source.archive.find(PICKLE) is None:
        return []
    value, _, _ = read_torch_zip(source)
    return _of_value(value, source)


def _of_value(value: object, source: Source) -> list[Found]:
    """Return what a value of a pickle is, or what is in it unless that is a network."""
    item = item_of(value, str(source.path))
    if item is not None:
        return [Found("", item)]
    try:
        places, _ = find_state_dicts(value)
    except PickleError:
        return []
    is_network = any(place.has_matrix for place in places)
    return [] if is_network else [*find_contents(value, str(source.path))]


def _of_json(source: Source) -> list[Found]:
    """Return the contents of JSON; a tokenizer of Keras can be a text within a text."""
    try:
        value = parse_json(source.rewound().read())
        value = parse_json(value.encode()) if isinstance(value, str) else value
    except ValueError:
        return []
    if isinstance(value, dict) and (option := _complete(value)):
        return [Found("", CompleteFile(option, source.path))]
    return [*find_contents(value, str(source.path))]


def _complete(value: dict[str, object]) -> str:
    """Return the option of `pack` for a file that is a part of a model folder already, or ""."""
    if {"format_version", "features", "mean", "scale"} <= value.keys():
        return "preprocessor"
    if {"format_version", "architecture"} <= value.keys():
        return "config"
    model = value.get("model")
    return "tokenizer" if isinstance(model, dict) and "vocab" in model and "pre_tokenizer" in value else ""


def _of_pickle(source: Source) -> list[Found]:
    try:
        value = read_dump(source.rewound(), PickleBudget(MAX_PICKLE_BYTES + source.size))
    except PickleError:
        return []
    return _of_value(value, source)


def _of_compressed(source: Source) -> list[Found]:
    """Return the contents of a file that joblib compressed."""
    try:
        content = unpacked(source.rewound().read())
        return _of_value(read_dump(io.BytesIO(content), PickleBudget()), source)
    except PickleError:
        return []


def _of_array(source: Source) -> list[Found]:
    try:
        return _of_value(read_array(source.rewound(), source.size), source)
    except PickleError:
        return []


def _begins(*starts: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(starts)


_READERS: tuple[tuple[Callable[[bytes], bool], Callable[[Source], list[Found]]], ...] = (
    (_begins(*_JSON), _of_json),
    (lambda head: head.startswith(_PICKLES), _of_pickle),
    (is_compressed, _of_compressed),
    (lambda head: head.startswith(MAGIC), _of_array),
)
