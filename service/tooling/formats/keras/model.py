"""Files of Keras: `.keras` archives, and HDF5 files of whole models."""

import re
from collections import Counter
from collections.abc import Callable, Iterator

from torch import Tensor

from service.domain.errors import ModelFolderError
from service.nets.config.bounded_json import parse_json
from service.tooling.formats.format import Format
from service.tooling.formats.keras.hdf5 import MAGIC, Hdf5Content, read_hdf5
from service.tooling.formats.keras.layers import INPUT, KerasLayer, input_shape, read_layers
from service.tooling.formats.keras.model_json import UnsupportedModel
from service.tooling.formats.keras.weights import RECURRENT, convert
from service.tooling.formats.network import SavedLayer, SavedNetwork
from service.tooling.formats.source import Source
from service.tooling.formats.values.arrays import Array

MAX_JSON_BYTES = 2**24
WEIGHTS, CONFIG, METADATA = "model.weights.h5", "config.json", "metadata.json"
#: The group of all layers, by Keras 3 and by the first releases that wrote `.keras` files.
ROOTS = ("layers", "_layer_checkpoint_dependencies")
WHOLE_MODEL = "the whole model: build it, load_weights, and save it as model.save('model.keras')"
_ArraysOf = Callable[[KerasLayer], list[Array]]


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
        return _network(source, model, version, lambda layers: _by_groups(layers, content))


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
        return _network(source, _json(source, config.encode()), version, lambda _: _by_names(content))


def _network(
    source: Source, model: object, version: str, arrays: Callable[[tuple[KerasLayer, ...]], _ArraysOf]
) -> SavedNetwork:
    """Return the layers and converted weights of a model. Raises ModelFolderError."""
    try:
        layers, shape = read_layers(model), input_shape(model)
        arrays_of = arrays(layers)
        tensors: dict[str, Tensor] = {}
        described = [SavedLayer("input", INPUT, {"shape": shape})]
        for name, layer in _named(layers):
            described.append(_describe(name, layer, version))
            converted = convert(layer, arrays_of(layer), shape[-1] if len(shape) > 1 else None)
            tensors |= {f"{name}.{local}": tensor for local, tensor in converted.items()}
    except UnsupportedModel as error:
        expected = "" if "expected" in str(error) else ", expected layers in a chain with their weights"
        raise ModelFolderError(f"{source.path}: found {error}{expected}") from error
    sizes = ", ".join("any" if size is None else str(size) for size in shape)
    beside = (f"keras_version: {version or 'unknown'}", *([f"shape of an input: ({sizes})"] if sizes else []))
    return SavedNetwork("Keras model", tensors, beside=beside, layers=tuple(described))


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
            yield layer.name.replace(".", "_"), layer


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


def _by_names(content: Hdf5Content) -> _ArraysOf:
    """Return what finds the arrays of a layer in an HDF5 file of a whole model, where groups have names of layers."""

    def arrays_of(layer: KerasLayer) -> list[Array]:
        group = f"/model_weights/{layer.name}"
        names = content.texts(group, "weight_names")
        missing = [name for name in names if f"{group}/{name}" not in content.arrays]
        if missing:
            raise UnsupportedModel(f"no weights {missing[0][:80]!r} of the Keras layer {layer.name[:80]!r}")
        return [content.arrays[f"{group}/{name}"] for name in names]

    return arrays_of


def _by_groups(layers: tuple[KerasLayer, ...], content: Hdf5Content) -> _ArraysOf:
    """Return what finds the arrays of a layer in the weights of a `.keras` file.

    Groups are named by the classes of layers, with a number from the second one on; they state the name of the layer.
    """
    tops = dict.fromkeys("/".join(path.split("/")[:3]) for path in (*content.attributes, *content.arrays) if path)
    stated = {name: top for top in tops for name in content.texts(f"{top}/vars", "name")}
    root = next((root for root in ROOTS if any(top.startswith(f"/{root}/") for top in tops)), ROOTS[0])
    counted: Counter[str] = Counter()
    groups: dict[str, str] = {}
    for layer in layers:
        group = _group_name(layer.kind)
        number = counted[group]
        counted[group] += 1
        groups[layer.name] = stated.get(layer.name, f"/{root}/{group}_{number}" if number else f"/{root}/{group}")

    def arrays_of(layer: KerasLayer) -> list[Array]:
        group = f"{groups[layer.name]}/"
        paths = [path for path in content.arrays if path.startswith(group) and not _is_of_training(path)]
        return [content.arrays[path] for path in sorted(paths, key=_order)]

    return arrays_of


def _group_name(kind: str) -> str:
    """Return the name that Keras makes of a class: `simple_rnn` of SimpleRNN."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def _is_of_training(path: str) -> bool:
    """Return whether a variable is none of the weights: the random numbers of dropout, or the state of a layer."""
    parts = path.split("/")
    return "seed_generator" in parts or "states" in parts


def _order(path: str) -> tuple[bool, list[tuple[int, str]]]:
    """Return a sort key: the forward layer before the backward one, and variables by their number."""
    parts = [(int(part), "") if part.isdecimal() and len(part) < 9 else (0, part) for part in path.split("/")]
    return "/backward_layer/" in path, parts


def _json(source: Source, content: bytes) -> object:
    try:
        value: object = parse_json(content)
    except ValueError as error:
        raise source.error(f"no readable JSON ({str(error)[:100]})", "the layers of a Keras model") from error
    return value
