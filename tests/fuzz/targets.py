"""The readers that are fuzzed, the changes that suit their files, and how often each is chosen."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service.domain.errors import ModelFolderError
from service.model_folder.model_card import read_card
from service.model_folder.safetensors_io import read_tensor_file
from service.nets.config.bounded_json import parse_json
from service.nets.config.loader import build_config, read_json
from service.nets.forecast_inputs.scaling import read_scaling
from service.nets.network_spec import find_spec
from service.tasks.architectures import ARCHITECTURES
from service.tasks.tokenizer_file import read_tokenizer
from service.tooling.formats.keras.layers import read_layers
from service.tooling.formats.keras.model_json import UnsupportedModel
from service.tooling.inspect.report import inspect
from service.tooling.preprocessing.reader import read_preprocessing
from service.tooling.preprocessing.scaling import Scaler
from service.tooling.preprocessing.vocabularies.fitting import fit_words
from service.tooling.preprocessing.vocabularies.tokenizer import make_tokenizer
from service.tooling.preprocessing.vocabularies.words import Words
from tests.fuzz.mutations import Mutation, of_bytes, of_header, of_json, of_pickle, of_zip


@dataclass(frozen=True)
class Target:
    """A reader: its changes, its share of all inputs, the name of its file, and the errors that it may raise."""

    changes: tuple[Mutation, ...]
    read: Callable[[Path], object]
    share: float = 1.0
    file: str = "input"
    errors: tuple[type[Exception], ...] = (ModelFolderError,)


def config(path: Path) -> object:
    raw = read_json(path.read_bytes(), str(path))
    return build_config(find_spec(raw, str(path), ARCHITECTURES).config_class, raw, str(path))


def preprocessing(path: Path) -> None:
    """Read vocabularies, scalers and labels, and make of them what a model folder has."""
    for found in read_preprocessing(path):
        if isinstance(found.item, Words):
            make_tokenizer(fit_words(found.item, max(found.item.entries, default=0) + 1, {}))
        if isinstance(found.item, Scaler):
            found.item.of([f"feature_{index}" for index in range(len(found.item.mean))])


TARGETS = {
    "safetensors": Target((of_header, of_header, of_bytes), inspect),
    "torch.save": Target((of_zip, of_zip, of_bytes), inspect, 2),
    "torch.save before 1.6": Target((of_bytes, of_pickle), inspect),
    "TorchScript": Target((of_zip, of_bytes), inspect, 0.3),
    "pickle": Target((of_pickle, of_pickle, of_bytes), inspect, 4),
    "numpy": Target((of_zip, of_bytes), inspect, 1),
    "JSON": Target((of_json, of_bytes), inspect),
    "Keras layers": Target(
        (of_json,),
        lambda path: read_layers(parse_json(path.read_bytes())),
        errors=(UnsupportedModel, ValueError),
    ),
    "Keras archive": Target((of_zip, of_bytes), inspect, 0.02),
    "Keras HDF5": Target((of_bytes,), inspect, 0.03),
    "ONNX": Target((of_bytes,), inspect, file="input.onnx"),
    "vocabulary": Target((of_bytes, of_json, of_pickle, of_zip), preprocessing, 2),
    "scaler": Target((of_bytes, of_json, of_pickle), preprocessing, 2),
    "tokenizer.json": Target((of_json, of_bytes), lambda path: read_tokenizer(path, 100), 0.02),
    "config.json": Target((of_json, of_json, of_bytes), config),
    "preprocessor.json": Target(
        (of_json, of_bytes), lambda path: read_scaling(path.parent, ["a", "b"], None), file="preprocessor.json"
    ),
    "golden.safetensors": Target((of_header, of_bytes), read_tensor_file),
    "README.md": Target((of_bytes,), lambda path: read_card(path.parent), file="README.md"),
}
