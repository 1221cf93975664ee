"""The layers of a Keras model in the order of computation, from its JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.tooling.formats.keras.functional import chain_layers
from service.tooling.formats.keras.model_json import MAX_LAYERS, WAY_OUT, UnsupportedModel, as_object

#: Layers that are read.
LAYERS = (
    "Embedding, SimpleRNN, LSTM, GRU, Bidirectional, Dense, TimeDistributed, Dropout, SpatialDropout1D, GaussianNoise, "
    "GaussianDropout, AlphaDropout, ActivityRegularization, Activation, ReLU, LeakyReLU, ELU, Softmax, "
    "LayerNormalization, BatchNormalization, Masking, Conv1D, GlobalAveragePooling1D, GlobalMaxPooling1D, Flatten, "
    "Normalization, Rescaling"
)
KINDS = frozenset(LAYERS.split(", "))
INPUT = "InputLayer"
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


@dataclass(frozen=True, slots=True)
class KerasLayer:
    """A layer: its class, its options as Keras names them, and the layers that it wraps."""

    kind: str
    name: str
    options: Mapping[str, object]
    inner: tuple["KerasLayer", ...] = field(default=())


def read_layers(model: object) -> tuple[KerasLayer, ...]:
    """Return the layers of a model in their order, the inputs left out. Raises UnsupportedModel."""
    fields = as_object(model)
    kind, config = str(fields.get("class_name")), fields.get("config")
    entries = as_object(config).get("layers") if isinstance(config, dict) else config
    if not isinstance(entries, list) or len(entries) > MAX_LAYERS or kind not in {"Sequential", "Functional", "Model"}:
        raise UnsupportedModel(
            f"a Keras model of class {kind[:80]!r} that is not sequential or functional, expected {WAY_OUT}"
        )
    ordered = entries if kind == "Sequential" else chain_layers(entries, as_object(config))
    return tuple(_layer(entry) for entry in ordered if as_object(entry).get("class_name") != INPUT)


def input_shape(model: object) -> tuple[int | None, ...]:
    """Return the shape of the first input without the batch; None stands for any number of timesteps."""
    config = as_object(model).get("config")
    entries = as_object(config).get("layers", []) if isinstance(config, dict) else config
    shapes = [as_object(as_object(entry).get("config")) for entry in entries] if isinstance(entries, list) else []
    found = [own.get("batch_shape") or own.get("batch_input_shape") for own in shapes]
    found.append(as_object(as_object(model).get("build_config")).get("input_shape"))
    for shape in found:
        if isinstance(shape, list):
            return tuple(size if type(size) is int else None for size in shape[1:])
    return ()


def _layer(entry: object, level: int = 0) -> KerasLayer:
    fields = as_object(entry)
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
