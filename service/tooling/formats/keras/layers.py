"""The layers of a Keras model in the order of computation, from its JSON; those of models within it are among them."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from service.tooling.formats.keras.directions import with_directions
from service.tooling.formats.keras.functional import chain_layers
from service.tooling.formats.keras.layer import KerasLayer, Place
from service.tooling.formats.keras.model_json import MAX_LAYERS, WAY_OUT, UnsupportedModel, as_object, class_of, name_of
from service.tooling.formats.keras.older import as_today

#: Layers that are read.
LAYERS = (
    "Embedding, SimpleRNN, LSTM, GRU, Bidirectional, Dense, TimeDistributed, Dropout, SpatialDropout1D, GaussianNoise, "
    "GaussianDropout, AlphaDropout, ActivityRegularization, Activation, ReLU, LeakyReLU, ELU, Softmax, "
    "LayerNormalization, BatchNormalization, Masking, Conv1D, GlobalAveragePooling1D, GlobalMaxPooling1D, Flatten, "
    "Normalization, Rescaling, TextVectorization, StringLookup, IntegerLookup"
)
KINDS = frozenset(LAYERS.split(", "))
INPUT = "InputLayer"
#: Models, which can be layers of others.
MODELS = {"Sequential", "Functional", "Model"}
#: Options that matter in training only, or that say nothing of the arithmetic.
_TRAINING = (
    "initializer",
    "regularizer",
    "constraint",
    "dropout",
    "rate",
    "seed",
    "trainable",
    "dtype",
    "unit_forget_bias",
    "noise_shape",
    "quantization_config",
    "implementation",
    "unroll",
    "momentum",
    "synchronized",
    "ragged",
    "sparse",
    "optional",
    "name",
)
#: Options whose names contain one of these words, and that matter.
_KEPT = {"dilation_rate"}
#: Options in which the layers of both directions may differ.
_OF_DIRECTION = {"go_backwards"}
MAX_LEVELS = 4


def read_layers(model: object) -> tuple[KerasLayer, ...]:
    """Return the layers of a model in their order, the inputs left out. Raises UnsupportedModel."""
    layers = tuple(_layers(model, (), 0))
    if len(layers) > MAX_LAYERS:
        raise UnsupportedModel(f"a Keras model of {len(layers)} layers, expected at most {MAX_LAYERS}")
    return with_directions(layers)


def _layers(model: object, places: tuple[Place, ...], level: int) -> Iterator[KerasLayer]:
    """Yield the layers of a model and of those within it."""
    fields = as_object(model)
    kind, config = str(fields.get("class_name")), fields.get("config")
    entries = as_object(config).get("layers") if isinstance(config, dict) else config
    if not isinstance(entries, list) or len(entries) > MAX_LAYERS or kind not in MODELS or level > MAX_LEVELS:
        raise UnsupportedModel(
            f"a Keras model of class {kind[:80]!r} that is not sequential or functional, expected {WAY_OUT}"
        )
    groups = _groups(entries)
    ordered = entries if kind == "Sequential" else chain_layers(entries, as_object(config))
    for entry in ordered:
        if class_of(entry) != INPUT:
            own = Place(name_of(entry), groups.get(name_of(entry), ""))
            yield from _of_entry(entry, (*places, own), level)


def _of_entry(entry: object, places: tuple[Place, ...], level: int) -> Iterator[KerasLayer]:
    """Yield the layer of an entry, or those of the model that it is or applies to each timestep."""
    wrapped = as_object(as_object(as_object(entry).get("config")).get("layer"))
    if class_of(entry) in MODELS:
        yield from _layers(entry, places, level + 1)
    elif class_of(entry) == "TimeDistributed" and class_of(wrapped) in MODELS:
        *outer, own = places
        within = (*outer, replace(own, within="/layer"))
        for layer in _layers(wrapped, within, level + 1):
            yield KerasLayer("TimeDistributed", layer.name, {}, (layer,), layer.places)
    else:
        yield replace(_layer(entry), places=places)


def _groups(entries: Sequence[object]) -> dict[str, str]:
    """Return the groups of weights by the names of the layers: the class, with a number from the second one on."""
    counted: Counter[str] = Counter()
    groups = {}
    for entry in entries:
        group = group_name(class_of(entry))
        groups[name_of(entry)] = f"{group}_{counted[group]}" if counted[group] else group
        counted[group] += 1
    return groups


def group_name(kind: str) -> str:
    """Return the name that Keras makes of a class: `simple_rnn` of SimpleRNN."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def input_shape(model: object, level: int = 0) -> tuple[int | None, ...]:
    """Return the shape of the first input without the batch; None stands for any number of timesteps."""
    config = as_object(model).get("config")
    entries = as_object(config).get("layers", []) if isinstance(config, dict) else config
    entries = entries if isinstance(entries, list) else []
    shape = _stated_shape(model, entries)
    if shape is not None:
        return tuple(size if type(size) is int else None for size in shape[1:])
    models = [entry for entry in entries[:1] if class_of(entry) in MODELS]
    return input_shape(models[0], level + 1) if models and level < MAX_LEVELS else ()


def _stated_shape(model: object, entries: Sequence[object]) -> list[object] | None:
    """Return the shape that the first layer with one states, or else the model."""
    shapes = [as_object(as_object(entry).get("config")) for entry in entries]
    found = [own.get("batch_shape") or own.get("batch_input_shape") for own in shapes]
    found.append(as_object(as_object(model).get("build_config")).get("input_shape"))
    return next((shape for shape in found if isinstance(shape, list)), None)


def _layer(entry: object, level: int = 0) -> KerasLayer:
    fields = as_today(as_object(entry))
    kind, config = str(fields.get("class_name")), as_object(fields.get("config"))
    name = str(config.get("name", fields.get("name", kind)))
    if kind not in KINDS or level > MAX_LEVELS:
        code = ", whose Python code is not run" if kind == "Lambda" else ""
        raise UnsupportedModel(f"the Keras layer {kind[:80]!r} ({name[:80]!r}){code}, expected {WAY_OUT}")
    inner = tuple(_layer(config[key], level + 1) for key in ("layer", "backward_layer") if config.get(key) is not None)
    options = {
        key: _option(name, key, value)
        for key, value in config.items()
        if key not in {"layer", "backward_layer"} and (key in _KEPT or not any(word in key for word in _TRAINING))
    }
    if kind in {"Bidirectional", "TimeDistributed"}:
        _require_wrapped(kind, name, inner)
    return KerasLayer(kind, name, options, inner)


def _require_wrapped(kind: str, name: str, inner: tuple[KerasLayer, ...]) -> None:
    """Raise UnsupportedModel unless a wrapper has a layer, and both directions the same options."""
    if not inner:
        raise UnsupportedModel(f"the Keras layer {kind!r} ({name[:80]!r}) without a layer in it")
    options = [
        (layer.kind, {key: value for key, value in layer.options.items() if key not in _OF_DIRECTION})
        for layer in inner
    ]
    if options[0] != options[-1]:
        raise UnsupportedModel(
            f"the Keras layer {kind!r} ({name[:80]!r}) of two different layers, expected one for both directions"
        )


def _option(layer: str, key: str, value: object) -> object:
    """Return an option; an activation that is written as an object becomes its name. Raises UnsupportedModel."""
    if "activation" in key and isinstance(value, dict):
        named = value.get("config") if value.get("class_name") == "function" else None
        if not isinstance(named, str):
            raise UnsupportedModel(
                f"the {key} {str(value.get('class_name'))[:80]!r} of the Keras layer {layer[:80]!r}, expected {WAY_OUT}"
            )
        return named
    return value
