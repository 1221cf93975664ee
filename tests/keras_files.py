"""Files of Keras models, written with h5py and json as Keras writes them, and what the models compute, by numpy."""

import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Layer:
    """A layer of Keras: its class, its options, its weights in Keras' order, and the layer that it wraps.

    A model that is a layer of another one has `layers`.
    """

    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    weights: tuple[Array, ...] = ()
    inner: "Layer | None" = None
    backward: "Layer | None" = None
    name: str = ""
    layers: tuple["Layer", ...] = ()

    def entry(self) -> dict[str, Any]:
        """Return the layer as the JSON of a model has it."""
        config = {"name": self.name, "trainable": True, **self.options}
        if self.inner is not None:
            config["layer"] = self.inner.entry()
        if self.layers:
            config["layers"] = [layer.entry() for layer in self.layers]
        return {"module": "keras.layers", "class_name": self.kind, "config": config, "registered_name": None}

    def variables(self, path: str) -> Iterator[tuple[str, Array]]:
        """Yield the weights with their paths in a `.keras` file."""
        if self.layers:
            for group, layer in grouped(self.layers):
                yield from layer.variables(f"{path}/layers/{group}")
        parts = (
            {"": self.inner}
            if self.backward is None
            else {"forward_layer": self.inner, "backward_layer": self.backward}
        )
        for name, part in parts.items():
            if part is not None:
                yield from part.variables(f"{path}/{name or 'layer'}")
        place = f"{path}/cell" if self.kind in {"LSTM", "GRU", "SimpleRNN"} else path
        yield from ((f"{place}/vars/{index}", weight) for index, weight in enumerate(self.weights))


def make(seed: int = 0) -> "Maker":
    """Return a maker of layers with random weights."""
    return Maker(np.random.default_rng(seed))


@dataclass(frozen=True)
class Maker:
    """Makes layers with random weights."""

    rng: np.random.Generator

    def numbers(self, *shape: int) -> Array:
        return self.rng.normal(0, 0.5, shape).astype(np.float32)

    def recurrent(self, kind: str, inputs: int, units: int, **options: Any) -> Layer:
        """Return a SimpleRNN, LSTM or GRU."""
        gates = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}[kind]
        options = {**RECURRENT, **({"reset_after": True} if kind == "GRU" else {}), "units": units, **options}
        bias = (2, gates * units) if options.get("reset_after") else (gates * units,)
        weights = (self.numbers(inputs, gates * units), self.numbers(units, gates * units), self.numbers(*bias))
        return Layer(kind, options, weights if options["use_bias"] else weights[:2])

    def both(self, kind: str, inputs: int, units: int, merge_mode: str = "concat", **options: Any) -> Layer:
        """Return a Bidirectional layer."""
        forwards, backwards = (self.recurrent(kind, inputs, units, **options) for _ in range(2))
        own = {"merge_mode": merge_mode}
        return Layer("Bidirectional", own, inner=forwards, backward=replace(backwards, options=forwards.options))

    def dense(self, inputs: int, units: int, activation: str = "linear", **options: Any) -> Layer:
        weights = (self.numbers(inputs, units), self.numbers(units))
        own = {"units": units, "activation": activation, "use_bias": True, **options}
        return Layer("Dense", own, weights if own["use_bias"] else weights[:1])

    def conv(self, inputs: int, filters: int, kernel: int, **options: Any) -> Layer:
        own = {"filters": filters, "kernel_size": [kernel], "strides": [1], "padding": "valid", "dilation_rate": [1]}
        own |= {"groups": 1, "activation": "linear", "use_bias": True, **options}
        return Layer("Conv1D", own, (self.numbers(kernel, inputs, filters), self.numbers(filters)))

    def batch_norm(self, size: int, *, scale: bool = True, center: bool = True) -> Layer:
        kept = [self.numbers(size) for wanted in (scale, center) if wanted]
        statistics = (self.numbers(size), self.rng.uniform(0.5, 2, size).astype(np.float32))
        own = {"axis": -1, "epsilon": 0.001, "scale": scale, "center": center}
        return Layer("BatchNormalization", own, (*kept, *statistics))

    def layer_norm(self, size: int) -> Layer:
        return Layer("LayerNormalization", {"axis": -1, "epsilon": 0.001}, (self.numbers(size), self.numbers(size)))

    def embedding(self, entries: int, size: int, *, mask_zero: bool = False) -> Layer:
        own = {"input_dim": entries, "output_dim": size, "mask_zero": mask_zero}
        return Layer("Embedding", own, (self.numbers(entries, size),))


def keras_model_of(kind: str, inputs: int, units: int, outputs: int) -> list[Layer]:
    """Return the layers of a model with one recurrent layer that answers after the last timestep."""
    maker = make(2)
    return [maker.recurrent(kind, inputs, units), maker.dense(units, outputs)]


RECURRENT = {
    "return_sequences": False,
    "return_state": False,
    "go_backwards": False,
    "stateful": False,
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
    "use_bias": True,
    "dropout": 0.0,
    "recurrent_dropout": 0.2,
    "implementation": 2,
}


def named(layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers with the names that Keras gives them."""
    counted: Counter[str] = Counter()
    result = []
    for layer in layers:
        group = snake(layer.kind)
        name = f"{group}_{counted[group]}" if counted[group] else group
        counted[group] += 1
        inner = None if layer.inner is None else named([layer.inner])[0]
        result.append(replace(layer, name=layer.name or name, inner=inner, layers=tuple(named(layer.layers))))
    return result


def grouped(layers: Sequence[Layer]) -> Iterator[tuple[str, Layer]]:
    """Yield the layers with the groups of their weights in a `.keras` file."""
    counted: Counter[str] = Counter()
    for layer in layers:
        group = snake(layer.kind)
        yield f"{group}_{counted[group]}" if counted[group] else group, layer
        counted[group] += 1


def snake(kind: str) -> str:
    """Return the name of a group of a class, as Keras makes it."""
    return re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", kind)).lower()


def model_json(layers: Sequence[Layer], shape: Sequence[int | None]) -> dict[str, Any]:
    """Return the JSON of a sequential model."""
    first = {"class_name": "InputLayer", "config": {"batch_shape": [None, *shape], "name": "input_layer"}}
    return {
        "class_name": "Sequential",
        "config": {"name": "model", "layers": [first, *(each.entry() for each in layers)]},
    }


def write_keras(
    path: Path,
    layers: Sequence[Layer],
    shape: Sequence[int | None],
    *,
    model: dict[str, Any] | None = None,
    assets: Mapping[str, str] | None = None,
) -> Path:
    """Write a `.keras` file. `model` replaces the JSON of the sequential model, `assets` are files of its layers."""
    layers = named(layers)
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for group, layer in grouped(layers):
            for name, weight in layer.variables(f"layers/{group}"):
                file[name] = weight
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("config.json", json.dumps(model or model_json(layers, shape)))
        archive.writestr("model.weights.h5", content.getvalue())
        for name, text in (assets or {}).items():
            archive.writestr(f"assets/layers/{name}", text)
    return path


def write_h5(path: Path, layers: Sequence[Layer], shape: Sequence[int | None], version: str = "2.15.0") -> Path:
    """Write an HDF5 file of a whole model, with the names of Keras 2."""
    with h5py.File(path, "w") as file:
        layers = named(layers)
        file.attrs["model_config"] = json.dumps(model_json(layers, shape))
        file.attrs["keras_version"] = version
        for layer in layers:
            group = file.create_group(f"model_weights/{layer.name}")
            weights = {f"{name}:0".replace("/vars/", "/kernel_"): array for name, array in layer.variables(layer.name)}
            group.attrs["weight_names"] = [*weights]
            for name, array in weights.items():
                group[name] = array
    return path


def compute(layers: Sequence[Layer], inputs: Array) -> Array:
    """Return what a model computes of one sequence, (T, F) numbers or (T,) ids."""
    x = inputs
    for layer in layers:
        x = _LAYERS[layer.kind](layer, x)
    return x


def activation(name: str | None) -> Callable[[Array], Array]:
    """Return an activation of Keras 3 by its name."""
    return _ACTIVATIONS[name or "linear"]


def _softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(-1, keepdims=True))
    shares: Array = powers / powers.sum(-1, keepdims=True)
    return shares


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": _sigmoid,
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "softmax": _softmax,
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "exponential": np.exp,
    "elu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "silu": lambda x: x * _sigmoid(x),
}


def _recurrent(layer: Layer, x: Array) -> Array:
    """Run a recurrent layer forwards, or backwards, with Keras' order of gates."""
    kernel, own, *biases = (weight.astype(np.float64) for weight in layer.weights)
    units, options = own.shape[0], layer.options
    bias = biases[0] if biases else np.zeros(kernel.shape[1])
    act, gate = activation(options["activation"]), activation(options["recurrent_activation"])
    h = c = np.zeros(units)
    outputs = []
    for row in x[::-1] if options["go_backwards"] else x:
        if layer.kind == "SimpleRNN":
            h = act(row @ kernel + h @ own + bias)
        elif layer.kind == "LSTM":
            i, f, g, o = np.split(row @ kernel + h @ own + bias, 4)
            c = gate(f) * c + gate(i) * act(g)
            h = gate(o) * act(c)
        elif options["reset_after"]:
            first, second = (bias[0], bias[1]) if bias.ndim == 2 else (bias, np.zeros_like(bias))
            z, r, n = np.split(row @ kernel + first, 3)
            own_z, own_r, own_n = np.split(h @ own + second, 3)
            update = gate(z + own_z)
            h = update * h + (1 - update) * act(n + gate(r + own_r) * own_n)
        else:
            z, r, n = np.split(row @ kernel + bias, 3)
            update, reset = gate(z + h @ own[:, :units]), gate(r + h @ own[:, units : 2 * units])
            h = update * h + (1 - update) * act(n + (reset * h) @ own[:, 2 * units :])
        outputs.append(h)
    return np.stack(outputs) if options["return_sequences"] else h


def _both(layer: Layer, x: Array) -> Array:
    assert layer.inner is not None
    assert layer.backward is not None
    forwards, backwards = _recurrent(layer.inner, x), _recurrent(layer.backward, x[::-1])
    if layer.inner.options["return_sequences"]:
        backwards = backwards[::-1]
    merge = layer.options["merge_mode"]
    if merge == "concat":
        return np.concatenate([forwards, backwards], -1)
    return (forwards + backwards) / (2 if merge == "ave" else 1)


def _wrapped(layer: Layer, x: Array) -> Array:
    assert layer.inner is not None
    return _LAYERS[layer.inner.kind](layer.inner, x)


def _dense(layer: Layer, x: Array) -> Array:
    kernel, *bias = layer.weights
    return activation(layer.options["activation"])(x @ kernel.astype(np.float64) + (bias[0] if bias else 0))


def _conv(layer: Layer, x: Array) -> Array:
    kernel, bias = layer.weights
    (dilation,) = layer.options["dilation_rate"]
    reach = (len(kernel) - 1) * dilation
    front, behind = {"causal": (reach, 0), "same": (reach // 2, reach - reach // 2)}.get(
        layer.options["padding"], (0, 0)
    )
    x = np.concatenate([np.zeros((front, x.shape[1])), x, np.zeros((behind, x.shape[1]))])
    rows = [
        sum(x[start + index * dilation] @ kernel[index].astype(np.float64) for index in range(len(kernel))) + bias
        for start in range(len(x) - reach)
    ]
    return activation(layer.options["activation"])(np.stack(rows))


def _batch_norm(layer: Layer, x: Array) -> Array:
    *kept, mean, variance = layer.weights
    scale = kept.pop(0) if layer.options["scale"] else 1.0
    center = kept.pop(0) if layer.options["center"] else 0.0
    normal: Array = (x - mean) / np.sqrt(variance + layer.options["epsilon"]) * scale + center
    return normal


def _layer_norm(layer: Layer, x: Array) -> Array:
    scale, center = layer.weights
    centred = x - x.mean(-1, keepdims=True)
    normal: Array = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + layer.options["epsilon"]) * scale + center
    return normal


def _normalization(layer: Layer, x: Array) -> Array:
    mean, variance, _ = layer.weights
    return (x - mean) / np.sqrt(variance)


def _relu(layer: Layer, x: Array) -> Array:
    highest = layer.options.get("max_value")
    return np.clip(x, 0, np.inf if highest is None else highest)


def _leaky(layer: Layer, x: Array) -> Array:
    return np.where(x > 0, x, layer.options["negative_slope"] * x)


def _same(layer: Layer, x: Array) -> Array:
    return x


_LAYERS: dict[str, Callable[[Layer, Array], Array]] = {
    "SimpleRNN": _recurrent,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "Bidirectional": _both,
    "TimeDistributed": _wrapped,
    "Sequential": lambda layer, x: compute(layer.layers, x),
    "Dense": _dense,
    "Conv1D": _conv,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "Normalization": _normalization,
    "Rescaling": lambda layer, x: x * layer.options["scale"] + layer.options["offset"],
    "Embedding": lambda layer, x: layer.weights[0][x],
    "Activation": lambda layer, x: activation(layer.options["activation"])(x),
    "Softmax": lambda layer, x: _softmax(x),
    "ReLU": _relu,
    "LeakyReLU": _leaky,
    "GlobalAveragePooling1D": lambda layer, x: x.mean(0),
    "GlobalMaxPooling1D": lambda layer, x: x.max(0),
    "Flatten": lambda layer, x: x.reshape(-1),
    "Dropout": _same,
    "GaussianNoise": _same,
    "Masking": _same,
}
