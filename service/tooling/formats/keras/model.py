"""Files of Keras: `.keras` archives, and HDF5 files of whole models."""

from collections import Counter
from collections.abc import Callable, Iterator

from torch import Tensor

from service.domain.errors import ModelFolderError
from service.nets.config.bounded_json import parse_json
from service.tooling.formats.archive import Archive
from service.tooling.formats.format import Format
from service.tooling.formats.keras.arrays import ArraysOf, asset_names, by_groups, by_names
from service.tooling.formats.keras.directions import RECURRENT
from service.tooling.formats.keras.hdf5 import MAGIC, read_hdf5
from service.tooling.formats.keras.layer import KerasLayer
from service.tooling.formats.keras.layers import INPUT, input_shape, read_layers
from service.tooling.formats.keras.lookups import (
    LOOKUPS,
    MAX_VOCABULARY_BYTES,
    VOCABULARY,
    lookup_content,
    vocabulary_lines,
)
from service.tooling.formats.keras.model_json import UnsupportedModel
from service.tooling.formats.keras.weights import convert
from service.tooling.formats.network import SavedLayer, SavedNetwork
from service.tooling.formats.source import Source

MAX_JSON_BYTES = 2**24
WEIGHTS, CONFIG, METADATA = "model.weights.h5", "config.json", "metadata.json"
WHOLE_MODEL = "the whole model: build it, load_weights, and save it as model.save('model.keras')"


class KerasArchive(Format):
    """`.keras` archives: the layers as JSON, and the weights as HDF5."""

    def recognizes(self, source: Source) -> bool:
        names = [] if source.archive is None else source.archive.names
        return {WEIGHTS, CONFIG} <= {*names}

    def read(self, source: Source) -> SavedNetwork:
        archive = source.archive
        if archive is None:
            raise source.error("no archive", "a .keras file")
        model = _json(source, archive.read(CONFIG, MAX_JSON_BYTES))
        about = _json(source, archive.read(METADATA, MAX_JSON_BYTES)) if METADATA in archive.names else {}
        version = str(about.get("keras_version", "")) if isinstance(about, dict) else ""
        content = read_hdf5(source.path, archive.read(WEIGHTS))
        return _network(source, model, version, by_groups(content), lambda layer: _vocabulary(archive, layer))


class KerasHdf5(Format):
    """HDF5 files of whole models, as Keras saved them before `.keras` files."""

    def recognizes(self, source: Source) -> bool:
        return source.head.startswith(MAGIC)

    def read(self, source: Source) -> SavedNetwork:
        content = read_hdf5(source.path, source.rewound().read())
        config = "".join(content.texts("", "model_config"))
        if not config:
            raise source.error("an HDF5 file without the layers of a model, such as of save_weights", WHOLE_MODEL)
        version = "".join(content.texts("", "keras_version"))
        return _network(
            source, _json(source, config.encode(errors="replace")), version, by_names(content), lambda _: []
        )


def _network(
    source: Source, model: object, version: str, arrays_of: ArraysOf, lines_of: Callable[[KerasLayer], list[str]]
) -> SavedNetwork:
    """Return the layers and converted weights of a model, and its vocabularies. Raises ModelFolderError."""
    try:
        layers, shape = read_layers(model), input_shape(model)
        tensors: dict[str, Tensor] = {}
        described = [SavedLayer("input", INPUT, {"shape": shape})]
        content: dict[str, object] = {}
        for name, layer in _named(layers):
            described.append(_describe(name, layer, version))
            if layer.kind in LOOKUPS:
                content[name] = lookup_content(layer, lines_of(layer))
                continue
            converted = convert(layer, arrays_of(layer), shape[-1] if len(shape) > 1 else None)
            tensors |= {f"{name}.{local}": tensor for local, tensor in converted.items()}
    except UnsupportedModel as error:
        expected = "" if "expected" in str(error) else ", expected layers in a chain with their weights"
        raise ModelFolderError(f"{source.path}: found {error}{expected}") from error
    beside = tuple(_beside(version, shape))
    return SavedNetwork("Keras model", tensors, beside=beside, layers=tuple(described), content=content)


def _beside(version: str, shape: tuple[int | None, ...]) -> Iterator[str]:
    yield f"keras_version: {version or 'unknown'}"
    if shape:
        yield f"shape of an input: ({', '.join('any' if size is None else str(size) for size in shape)})"


def _vocabulary(archive: Archive, layer: KerasLayer) -> list[str]:
    """Return the entries of the vocabulary that a layer keeps in a file of the archive, none if there is no such file.

    Raises UnsupportedModel, ModelFolderError.
    """
    names = [name for name in asset_names(layer, VOCABULARY) if name in archive.names]
    return vocabulary_lines(archive.read(names[0], MAX_VOCABULARY_BYTES)) if names else []


def _named(layers: tuple[KerasLayer, ...]) -> Iterator[tuple[str, KerasLayer]]:
    """Yield each layer with a name for its tensors; recurrent layers of one class form a stack: `lstm.0`, `lstm.1`."""
    stacks = Counter(_cell(layer) for layer in layers)
    used: Counter[str] = Counter()
    for layer in layers:
        cell = _cell(layer)
        if cell and stacks[cell] > 1:
            yield f"{cell.lower()}.{used[cell]}", layer
            used[cell] += 1
        else:
            name = layer.name.replace(".", "_")
            used[name] += 1  # models within the model can have layers of the same name
            yield name if used[name] == 1 else f"{name}_in_model_{used[name]}", layer


def _cell(layer: KerasLayer) -> str:
    kind = layer.inner[0].kind if layer.kind == "Bidirectional" and layer.inner else layer.kind
    return kind if kind in RECURRENT else ""


def _describe(name: str, layer: KerasLayer, version: str) -> SavedLayer:
    """Return a layer with its options and those of the layers that it wraps."""
    options = {**layer.options}
    for wrapped in layer.inner[:1]:
        options |= {"layer": wrapped.kind, **wrapped.options}
    if not version.startswith("3"):
        # Of slope 0.2; that of Keras 3 is PyTorch's, of slope 1/6.
        options = {key: "hard_sigmoid_legacy" if value == "hard_sigmoid" else value for key, value in options.items()}
    return SavedLayer(name, layer.kind, options)


def _json(source: Source, content: bytes) -> object:
    try:
        value: object = parse_json(content)
    except ValueError as error:
        raise source.error(f"no readable JSON ({str(error)[:100]})", "the layers of a Keras model") from error
    return value
