"""The layers of a Keras model in the order of computation, from its JSON."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Layers that are read.
LAYERS = (
    "Embedding, SimpleRNN, LSTM, GRU, Bidirectional, Dense, TimeDistributed, Dropout, SpatialDropout1D, Activation, "
    "ReLU, LayerNormalization, BatchNormalization, Masking"
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
    "time_major",
    "momentum",
    "synchronized",
    "ragged",
    "sparse",
    "optional",
    "name",
)
MAX_LAYERS = 1000
MAX_LEVELS = 4


class UnsupportedModel(Exception):
    """Raised for a model of Keras that is not read; the message completes "found ..."."""


@dataclass(frozen=True, slots=True)
class KerasLayer:
    """A layer: its class, its options as Keras names them, and the layers that it wraps."""

    kind: str
    name: str
    options: Mapping[str, object]
    inner: tuple["KerasLayer", ...] = field(default=())


def read_layers(model: object) -> tuple[KerasLayer, ...]:
    """Return the layers of a model in their order, the inputs left out. Raises UnsupportedModel."""
    fields = _object(model)
    kind, config = str(fields.get("class_name")), fields.get("config")
    entries = _object(config).get("layers") if isinstance(config, dict) else config
    if not isinstance(entries, list) or len(entries) > MAX_LAYERS or kind not in {"Sequential", "Functional", "Model"}:
        raise UnsupportedModel(f"a Keras model of class {kind[:80]!r} that is not sequential or functional")
    ordered = entries if kind == "Sequential" else [*_chain(entries, _object(config))]
    return tuple(_layer(entry) for entry in ordered if _object(entry).get("class_name") != INPUT)


def input_shape(model: object) -> tuple[int | None, ...]:
    """Return the shape of the first input without the batch; None stands for any number of timesteps."""
    config = _object(model).get("config")
    entries = _object(config).get("layers", []) if isinstance(config, dict) else config
    for entry in entries if isinstance(entries, list) else []:
        own = _object(_object(entry).get("config"))
        shape = own.get("batch_shape") or own.get("batch_input_shape")
        if isinstance(shape, list):
            return tuple(size if type(size) is int else None for size in shape[1:])
    return ()


def _layer(entry: object, level: int = 0) -> KerasLayer:
    fields = _object(entry)
    kind, config = str(fields.get("class_name")), _object(fields.get("config"))
    name = str(config.get("name", fields.get("name", kind)))
    if kind not in KINDS or level > MAX_LEVELS:
        raise UnsupportedModel(f"the Keras layer {kind[:80]!r} ({name[:80]!r}), expected one of {LAYERS}")
    inner = tuple(_layer(config[key], level + 1) for key in ("layer", "backward_layer") if config.get(key) is not None)
    options = {
        key: _option(name, key, value)
        for key, value in config.items()
        if key not in {"layer", "backward_layer"} and not any(word in key for word in _TRAINING)
    }
    return KerasLayer(kind, name, options, inner)


def _option(layer: str, key: str, value: object) -> object:
    """Return an option; an activation that is written as an object becomes its name. Raises UnsupportedModel."""
    if "activation" in key and isinstance(value, dict):
        named = value.get("config") if value.get("class_name") == "function" else None
        if not isinstance(named, str):
            raise UnsupportedModel(f"the {key} {str(value.get('class_name'))[:80]!r} of the Keras layer {layer[:80]!r}")
        return named
    return value


def _chain(entries: list[Any], config: dict[str, Any]) -> Iterator[object]:
    """Yield the layers of a functional model from its input to its output. Raises UnsupportedModel for branches."""
    layers = {
        str(_object(entry).get("name", _object(_object(entry).get("config")).get("name"))): entry for entry in entries
    }
    outputs = [*_names(config.get("output_layers"))]
    inputs = [*_names(config.get("input_layers"))]
    if len(set(outputs)) != 1 or len(set(inputs)) != 1:
        raise UnsupportedModel(f"a Keras model of {len(inputs)} inputs and {len(outputs)} outputs, expected one each")
    chain: list[object] = []
    name = outputs[0]
    while len(chain) <= len(layers):
        entry = layers.get(name)
        if entry is None:
            raise UnsupportedModel(f"a Keras model without its layer {name[:80]!r}")
        chain.append(entry)
        before = set(_inbound(_object(entry).get("inbound_nodes")))
        if not before:
            return reversed(chain)
        if len(before) > 1:
            raise UnsupportedModel(
                f"a Keras model whose layer {name[:80]!r} reads {len(before)} others, expected a chain"
            )
        (name,) = before
    raise UnsupportedModel("a Keras model whose layers read each other in a circle")


def _name(entry: object) -> str:
    fields = _object(entry)
    return str(fields.get("name", _object(fields.get("config")).get("name")))


def _names(value: object) -> Iterator[str]:
    """Yield the names of layers in `output_layers`: a list of [name, node, tensor], or one of these."""
    if isinstance(value, list):
        if value and isinstance(value[0], str):
            yield value[0]
        else:
            for item in value:
                yield from _names(item)


def _inbound(nodes: object) -> Iterator[str]:
    """Yield the names of the layers that a layer reads; masks are passed on beside, as keywords."""
    for node in nodes if isinstance(nodes, list) else []:
        yield from _referenced(node.get("args") if isinstance(node, dict) else node)


def _referenced(arguments: object) -> Iterator[str]:
    """Yield the names of layers in the arguments of a call: a list of [name, node, tensor], or a tensor's history."""
    waiting = [arguments]
    for _ in range(MAX_LAYERS):
        if not waiting:
            break
        item = waiting.pop()
        if isinstance(item, dict):
            history = _object(item.get("config")).get("keras_history")
            waiting.extend([history] if history is not None else item.values())
        elif isinstance(item, list) and len(item) > 2 and isinstance(item[0], str):
            yield item[0]
        elif isinstance(item, list):
            waiting.extend(item)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
