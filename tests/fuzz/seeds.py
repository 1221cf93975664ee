"""Small valid files of each format, from which the inputs are made."""

import collections
import io
import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from service.model_folder.safetensors_io import tensor_file
from service.tooling.preprocessing.vocabularies.word_list import build_word_tokenizer
from tests.keras_files import Array, Layer, make, model_json, named, write_h5, write_keras
from tests.onnx_folders import running_sum


class Network(nn.Module):
    """A small recurrent network."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 3)
        self.rnn = nn.GRU(3, 4)
        self.output = nn.Linear(4, 7)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.output(self.rnn(self.embedding(ids))[0])
        return scores


def state() -> dict[str, torch.Tensor]:
    return collections.OrderedDict(Network().state_dict())


def arrays() -> dict[str, Array]:
    return {name: tensor.numpy() for name, tensor in state().items()}


def saved(value: object, **options: object) -> bytes:
    """Return a file of torch.save."""
    file = io.BytesIO()
    torch.save(value, file, **options)  # type: ignore[arg-type]
    return file.getvalue()


def scripted(network: Network) -> bytes:
    """Return a TorchScript archive."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch would rather export
        torch.jit.save(torch.jit.script(network), file)
    return file.getvalue()


def numpy_files() -> list[bytes]:
    """Return an archive of arrays, one of a dictionary, and one array of a dictionary."""
    files = [io.BytesIO() for _ in range(3)]
    np.savez(files[0], **arrays())  # type: ignore[arg-type]
    np.savez(files[1], weights=np.array(arrays(), dtype=object))
    np.save(files[2], np.array(arrays(), dtype=object), allow_pickle=True)
    return [file.getvalue() for file in files]


def pickles() -> list[bytes]:
    """Return pickles of all protocols: arrays, tensors, a module, and a scaler beside them."""
    module = Network()
    whole = [pickle.dumps(module, protocol) for protocol in (2, 4)]
    return [*(pickle.dumps({"step": 3, "weights": arrays()}, protocol) for protocol in range(6)), *whole]


def keras_layers() -> list[Layer]:
    maker = make(1)
    return [maker.both("GRU", 2, 3, return_sequences=True), maker.recurrent("LSTM", 6, 3), maker.dense(3, 2)]


def keras_archive(folder: Path) -> bytes:
    return write_keras(folder / "seed.keras", keras_layers(), (5, 2)).read_bytes()


def keras_hdf5(folder: Path) -> bytes:
    return write_h5(folder / "seed.h5", keras_layers(), (5, 2)).read_bytes()


def keras_text_archive(folder: Path) -> bytes:
    """Return a model with a model within it, a layer that goes backwards, and a vocabulary in a file of its own."""
    maker = make(2)
    text = Layer("TextVectorization", {**VECTORIZATION["config"], "vocabulary": None})  # type: ignore[dict-item]
    inner = Layer("Sequential", layers=(maker.recurrent("GRU", 3, 4, go_backwards=True), maker.dense(4, 2)))
    layers = [text, maker.embedding(6, 3, mask_zero=True), inner]
    files = {"text_vectorization/vocabulary.txt": "\n[UNK]\nthe\ndog"}
    return write_keras(folder / "text.keras", layers, (1,), assets=files).read_bytes()


def tokenizer_file() -> bytes:
    """Return a tokenizer.json of words."""
    return build_word_tokenizer(["<unk>", "the", "dog"]).to_str().encode()


def scalers() -> list[bytes]:
    """Return files of scikit-learn, and numbers as JSON and as pickles."""
    library = sorted(path for path in LIBRARY_FILES.iterdir() if path.suffix in {".pkl", ".joblib"})
    refused = {"PowerTransformer.joblib"}  # no linear scaling
    stated = [encode(value) for value in STATED_SCALING for encode in (_json, pickle.dumps)]
    return [*(path.read_bytes() for path in library if path.name not in refused), *stated]


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def keras_model() -> bytes:
    return json.dumps(model_json(named(keras_layers()), (5, 2))).encode()


CONFIG = {
    "format_version": 1,
    "task": "regression",
    "architecture": "sequence-encoder",
    "cell": "lstm",
    "num_layers": 2,
    "input_size": 3,
    "hidden_size": [4, 5],
    "features": ["a", "b", "c"],
    "names": ["y"],
    "readout": "last",
    "convolution": [{"channels": 3, "kernel": 2, "padding": "causal"}],
    "head": [{"size": 4, "activation": "tanh"}, {"layer_norm": True, "eps": 1e-3}],
    "stacks": [{"cell": "gru", "num_layers": 1, "input_size": 5, "hidden_size": 2}],
    "window": 7,
    "target_mean": [1.5],
    "state": [
        {"name": "window", "shape": [7, 3], "dtype": "float32"},
        {"name": "inputs", "shape": [1], "dtype": "float32"},
        {"name": "last", "shape": [3], "dtype": "float32"},
    ],
}
SCALING = {
    "format_version": 1,
    "features": ["a", "b"],
    "mean": [0.5, 1.5],
    "scale": [1.0, 2.0],
    "frequency": None,
    "clamp": None,
    "missing": "last",
}
VECTORIZATION = {
    "class_name": "TextVectorization",
    "config": {
        "standardize": "lower",
        "split": "whitespace",
        "ngrams": None,
        "output_mode": "int",
        "output_sequence_length": 5,
        "vocabulary": ["", "[UNK]", "the", "dog"],
    },
}
LOOKUP = {
    "class_name": "IntegerLookup",
    "config": {
        "num_oov_indices": 1,
        "oov_token": -1,
        "mask_token": None,
        "output_mode": "int",
        "vocabulary": [12, 7],
        "vocabulary_dtype": "int64",
    },
}
#: Scaling and labels as trainers write them by hand, and Keras.
STATED_SCALING = [
    {"mean": [1, 2.5], "std": [3, 4]},
    {"a": {"mean": 1, "std": 2}, "b": {"min": 1, "max": 2}},
    {"class_name": "Normalization", "config": {"axis": [-1], "mean": [[1, 2]], "variance": [[3, 4]]}},
    {"features": ["a", "b"], "min": {"a": 1, "b": 0}, "max": {"a": 2, "b": 3}},
]
#: Files of scikit-learn, by pickle and joblib.
LIBRARY_FILES = Path(__file__).parents[1] / "data" / "preprocessing"
CARD = (
    b"---\ndescription: A network.\nmetrics:\n  loss: 0.5\n  rows: [1, 2]\n"
    b"source_language: en\ntarget_language: fr\n---\ntext\n"
)
TOKENIZER = {"class_name": "Tokenizer", "config": {"word_index": '{"the": 1, "dog": 2}', "num_words": None}}


def made_seeds(folder: Path) -> dict[str, list[bytes]]:
    """Return valid files by the name of their target."""
    text = [b"the\ndog\ncat\n", "a\nb\n\u00e9\n".encode(), b"the 17\ndog 3\n"]
    vocabularies = [{"the": 0, "dog": 1}, {"0": "the", "1": "dog"}, ["the", "dog"], TOKENIZER, VECTORIZATION, LOOKUP]
    encoded: list[Callable[[object], bytes]] = [_json, pickle.dumps, saved]
    return {
        "safetensors": [tensor_file(state(), {"kind": "network"})],
        "torch.save": [
            saved(state()),
            saved({"epoch": 3, "model": state(), "optimizer": {"state": {}}}),
            saved(Network()),
        ],
        "torch.save before 1.6": [saved(state(), _use_new_zipfile_serialization=False)],
        "TorchScript": [scripted(Network())],
        "pickle": pickles(),
        "numpy": numpy_files(),
        "JSON": [json.dumps({name: array.tolist() for name, array in arrays().items()}).encode()],
        "Keras layers": [keras_model()],
        "Keras archive": [keras_archive(folder), keras_text_archive(folder)],
        "Keras HDF5": [keras_hdf5(folder)],
        "ONNX": [running_sum().SerializeToString()],
        "vocabulary": [*text, *(encode(value) for value in vocabularies for encode in encoded)],
        "scaler": scalers(),
        "tokenizer.json": [tokenizer_file()],
        "config.json": [json.dumps(CONFIG).encode()],
        "preprocessor.json": [json.dumps(SCALING).encode()],
        "golden.safetensors": [
            tensor_file({"inputs.ids": torch.zeros(2, 3, dtype=torch.int64)}, {"tolerance": "1e-4"})
        ],
        "README.md": [CARD],
    }
