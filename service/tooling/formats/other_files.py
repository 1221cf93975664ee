"""Files that are no network, or one of a format that is not read: what they are, and what to do."""

import re
import shlex
from collections.abc import Callable
from fnmatch import fnmatchcase

from service.tooling.formats.compressed import BZIP2, GZIP, XZ, ZLIB, content_of, is_tar
from service.tooling.formats.source import ZIP, Source
from service.tooling.formats.values.estimators import FROM_JOBLIB, classes_in, describe_estimator

EXPECTED = "expected a file with a trained network (docs/import.md lists the formats)"
_Recognizer = Callable[[Source], bool]


_EXPORT = "expected a graph of one step with its state: export it with `torch.onnx.export`, and give that file"


def describe_other(source: Source) -> str:
    """Return what a file of no format that is read is, and what to do with it."""
    content = content_of(source)
    if b"torch" not in content and (estimator := describe_estimator(classes_in(content))):
        return "found {}, expected {}".format(*estimator)
    kind = next((text for is_kind, text in _KINDS if is_kind(source)), f"a file of no known format, {EXPECTED}")
    # In commands, the file itself.
    return f"found {re.sub(r'(?<= )FILE(?=[ `])', lambda _: shlex.quote(str(source.path)), kind)}"


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


def _contains_tar(beginning: bytes) -> _Recognizer:
    """Return a recognizer of tar archives that are compressed to files which start so."""
    return lambda source: source.head.startswith(beginning) and is_tar(content_of(source))


def _is_old_torchscript(source: Source) -> bool:
    archive = source.archive
    return (
        archive is not None and archive.find("model.json") is not None and any("/tensors/" in n for n in archive.names)
    )


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
_IN_ARCHIVE = "expected the file or the folder of the network in it: unpack it with"
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
    (_is_old_torchscript, "an archive of TorchScript before PyTorch 1.4, expected a state dict"),
    (
        has_member("MANIFEST.json"),
        f"a model archive of TorchServe, {_IN_ARCHIVE} `unzip FILE`",
    ),
    (starts(ZIP), f"a zip archive, {_IN_ARCHIVE} `unzip FILE`"),
    (starts(b"PK\x05\x06"), f"an empty zip archive, {EXPECTED}"),
    (lambda source: is_tar(source.head), f"a tar archive, {_IN_ARCHIVE} `tar -xf FILE`"),
    (_contains_tar(GZIP), f"a tar archive that gzip compressed, {_IN_ARCHIVE} `tar -xzf FILE`"),
    (_contains_tar(BZIP2), f"a tar archive that bzip2 compressed, {_IN_ARCHIVE} `tar -xjf FILE`"),
    (_contains_tar(XZ), f"a tar archive that xz compressed, {_IN_ARCHIVE} `tar -xJf FILE`"),
    (starts(GZIP), "a gzip file, expected what it contains: unpack it with `gunzip FILE` or `tar -xzf FILE`"),
    (starts(BZIP2), "a bzip2 file, expected what it contains: unpack it with `bunzip2 FILE`"),
    (starts(XZ), "an xz file, expected what it contains: unpack it with `unxz FILE`"),
    (
        lambda source: source.head.startswith(ZLIB) and content_of(source) != b"",
        f"a file of zlib or joblib, expected {FROM_JOBLIB}",
    ),
    (starts(b"7z\xbc\xaf"), f"a 7z archive, {_IN_ARCHIVE} `7z x FILE`"),
    (starts(b"Rar!"), f"a rar archive, {_IN_ARCHIVE} `unrar x FILE`"),
    (
        starts(b"GGUF"),
        "a GGUF file, expected a recurrent network: this one is served by llama.cpp, `llama-server -m FILE`",
    ),
    (starts(b"PAR1"), "a Parquet file, expected a trained network"),
    (
        lambda source: source.head[4:8] == b"TFL3",
        (
            "a TensorFlow Lite model, expected the .keras file from which it was converted, or an ONNX graph: "
            "`python -m tf2onnx.convert --tflite FILE --output model.onnx`"
        ),
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
