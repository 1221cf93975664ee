"""Files that are no network, or one of a format that is not read: what they are, and what to do."""

import re
from collections.abc import Callable
from fnmatch import fnmatchcase

from service.tooling.formats.source import ZIP, Source

EXPECTED = "expected a file with a trained network (docs/import.md lists the formats)"
_Recognizer = Callable[[Source], bool]


_EXPORT = "expected a graph of one step with its state: export it with `torch.onnx.export`, and give that file"


def describe_other(source: Source) -> str:
    """Return what a file of no format that is read is, and what to do with it."""
    kind = next((text for is_kind, text in _KINDS if is_kind(source)), f"a file of no known format, {EXPECTED}")
    return f"found {kind}"


def is_text_file(source: Source) -> bool:
    """Return whether a file is a text, and nothing else that is known, such as a web page."""
    return next((is_kind is _is_text for is_kind, _ in _KINDS if is_kind(source)), False)


def describe_folder(names: set[str]) -> str:
    """Return what a folder with these entries is, and what to do with it."""
    other = "cannot be read: Is a directory; expected a file: give the file of the weights in it"
    return next((f"found {text}" for is_kind, text in _FOLDERS if is_kind(names)), other)


def _holds(*entries: str) -> Callable[[set[str]], bool]:
    """Return a recognizer of folders with all these entries; one that ends in `*` stands for those that begin so."""

    def recognizes(names: set[str]) -> bool:
        return all(any(fnmatchcase(name, entry) for name in names) for entry in entries)

    return recognizes


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
_FOLDERS: tuple[tuple[Callable[[set[str]], bool], str], ...] = (
    (_holds("saved_model.pb"), f"a TensorFlow SavedModel, {_SAVED_MODEL}"),
    (
        _holds("type.txt", "prediction_net*"),
        (
            "a predictor of GluonTS, whose networks read lagged values, a scale of each window and their own samples, "
            f"which forecasters here do not; {_EXPORT}"
        ),
    ),
    (
        _holds("export.pkl"),
        "a folder of fastai, expected a file in it: give its export.pkl, or models/NAME.pth and itos.pkl",
    ),
    (
        _holds("config.json", "metadata.json", "model.weights.h5"),
        (
            "the unpacked content of a .keras file, expected the file itself: pack it again with "
            "`cd FOLDER && zip -r ../model.keras .`"
        ),
    ),
    (
        _holds("config.yml", "model_epoch*"),
        "a run of NeuralHydrology, expected a file: `unroll import FOLDER models/NAME/1` reads the folder",
    ),
    (
        _holds("data.pkl", "version"),
        (
            "the unpacked content of a torch.save file, expected the file itself: pack it again with "
            "`zip -0 -r FILE.pt FOLDER`"
        ),
    ),
    (_holds("config.json", "model.safetensors"), "a folder, expected the file in it: give its model.safetensors"),
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
    (
        has_member("MANIFEST.json"),
        "a model archive of TorchServe, expected the file of the weights in it: unpack it with `unzip FILE`",
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
    (
        starts(b"ftrt", b"ptrt"),
        "an engine of TensorRT, which runs on one kind of GPU alone, expected the file that it was built from (.onnx)",
    ),
    (
        lambda source: source.head.startswith(b"\n") and b"Placeholder" in source.head,
        (
            "a frozen graph of TensorFlow 1 (.pb), expected an ONNX graph: "
            "`python -m tf2onnx.convert --graphdef FILE --inputs NAME:0 --outputs NAME:0 --output model.onnx`"
        ),
    ),
    (
        starts(b"\x08\x01\x12"),
        f"a TensorFlow SavedModel's saved_model.pb, {_SAVED_MODEL}",
    ),
    (
        starts(b"\x12\x01\x00\x00\x00\x00\x00\x00"),
        (
            "parameters of MXNet, expected arrays by name: `python -c 'import mxnet as m, numpy; numpy.savez("
            '"net.npz", **{k: v.asnumpy() for k, v in m.nd.load("FILE").items()})\'`'
        ),
    ),
    (_is_text, f"a text file, {EXPECTED}"),
)
