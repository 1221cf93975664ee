"""Files that are no network, or one of a format that is not read: what they are, and what to do."""

import re
from collections.abc import Callable

from service.tooling.formats.source import ZIP, Source

EXPECTED = "expected a file with a trained network (docs/import.md lists the formats)"
_Recognizer = Callable[[Source], bool]


def describe_other(source: Source) -> str:
    """Return what a file of no format that is read is, and what to do with it."""
    kind = next((text for is_kind, text in _KINDS if is_kind(source)), f"a file of no known format, {EXPECTED}")
    return f"found {kind}"


def is_text_file(source: Source) -> bool:
    """Return whether a file is a text, and nothing else that is known, such as a web page."""
    return next((is_kind is _is_text for is_kind, _ in _KINDS if is_kind(source)), False)


def describe_folder(names: set[str]) -> str:
    """Return what a folder with these entries is, and what to do with it."""
    if "saved_model.pb" in names:
        return f"found a TensorFlow SavedModel, {_SAVED_MODEL}"
    if "config.yml" in names and any(name.startswith("model_epoch") for name in names):
        return "found a run of NeuralHydrology, expected a file: `unroll import FOLDER models/NAME/1` reads the folder"
    if {"data.pkl", "version"} <= names:
        return (
            "found the unpacked content of a torch.save file, expected the file itself: pack it again with "
            "`zip -0 -r FILE.pt FOLDER`"
        )
    if {"config.json", "model.safetensors"} <= names:
        return "found a folder, expected the file in it: give its model.safetensors"
    return "cannot be read: Is a directory; expected a file: give the file of the weights in it"


def starts(*beginnings: bytes) -> _Recognizer:
    """Return a recognizer of files that start with one of these bytes."""
    return lambda source: source.head.startswith(beginnings)


def has_member(*names: str) -> _Recognizer:
    """Return a recognizer of zip files that contain a member of one of these names, in any folder."""
    return lambda source: source.archive is not None and any(map(source.archive.find, names))


def _is_text(source: Source) -> bool:
    try:
        text = source.head.decode("utf-8")
    except UnicodeDecodeError as error:
        # The last character may be cut off.
        text = source.head[: error.start].decode("utf-8") if error.start > len(source.head) - 4 else ""
    return bool(text) and not re.search(r"[\x00-\x08\x0e-\x1f]", text)


_SAVED_MODEL = (
    'expected a .keras file: with Keras, keras.models.load_model("FOLDER").save("model.keras"), or under Keras 3 build '
    'the model by its own code, load_weights and save("model.keras")'
)
_KINDS: tuple[tuple[_Recognizer, str], ...] = (
    (lambda source: not source.size, f"an empty file, {EXPECTED}"),
    (
        starts(b"version https://git-lfs"),
        "a Git LFS pointer, expected the file that it stands for: `git lfs pull` in the repository fetches it",
    ),
    (
        lambda source: source.head.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html", b"<?xml")),
        "a web page, expected the file that it shows: download it by the page's button or its `raw` address",
    ),
    (
        lambda source: source.head.startswith(ZIP) and source.archive is None,
        "a damaged zip file, expected a whole one: download or copy it again",
    ),
    (has_member("saved_model.pb"), f"an archive with a TensorFlow SavedModel, {_SAVED_MODEL}"),
    (
        has_member("model.json"),
        "an archive of TorchScript before PyTorch 1.4, expected a state dict",
    ),
    (starts(ZIP), "an archive, expected the file of the weights in it: unpack it with `unzip FILE`"),
    (
        lambda source: source.head[257:262] == b"ustar",
        "a tar archive, expected the file of the weights in it: unpack it with `tar -xf FILE`",
    ),
    (starts(b"\x1f\x8b"), "a gzip file, expected what it contains: unpack it with `gunzip FILE` or `tar -xzf FILE`"),
    (starts(b"BZh"), "a bzip2 file, expected what it contains: unpack it with `bunzip2 FILE`"),
    (starts(b"\xfd7zXZ"), "an xz file, expected what it contains: unpack it with `unxz FILE`"),
    (starts(b"7z\xbc\xaf"), "a 7z archive, expected the file of the weights in it: unpack it"),
    (starts(b"Rar!"), "a rar archive, expected the file of the weights in it: unpack it"),
    (starts(b"GGUF"), "a GGUF file of llama.cpp, expected a recurrent network"),
    (starts(b"PAR1"), "a Parquet file, expected a trained network"),
    (
        lambda source: source.head[4:8] == b"TFL3",
        "a TensorFlow Lite model, expected the .keras file from which it was converted",
    ),
    (_is_text, f"a text file, {EXPECTED}"),
)
