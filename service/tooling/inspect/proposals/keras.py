"""Proposal of the config.json of a Keras model, whose file states every layer with its options."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from torch import Tensor

from service.nets.network_spec import find_spec
from service.tasks.architecture_spec import AnyArchitecture
from service.tooling.formats.network import SavedLayer, SavedNetwork
from service.tooling.inspect.inventory import Proposal, UnsupportedNetwork, complete_config

KIND = "Keras model"
CELLS = {"SimpleRNN": "rnn_tanh", "LSTM": "lstm", "GRU": "gru"}
#: Layers that change nothing when a network answers.
_TRAINING = {"Dropout", "SpatialDropout1D"}
#: Layers that compute an activation only.
_ACTIVATIONS = {"Activation", "ReLU"}
#: Options of layers that are not served unless they have this value.
_PLAIN = {"go_backwards": False, "merge_mode": "concat", "return_state": False, "zero_output_for_mask": False}
#: Keras' default of the small number in normalisations.
_EPSILON = 1e-3


def propose_keras(saved: SavedNetwork, architectures: Sequence[AnyArchitecture]) -> tuple[str, Proposal | None]:
    """Return a description of a Keras model, and a proposal if it is served."""
    chain = " -> ".join(str(layer.options.get("layer") or layer.kind) for layer in saved.layers)
    try:
        return f"a Keras model ({chain})", _propose(saved, architectures)
    except UnsupportedNetwork as error:
        return f"a Keras model ({chain}): {error}, so no config.json is proposed", None


def _propose(saved: SavedNetwork, architectures: Sequence[AnyArchitecture]) -> Proposal:
    embedding, recurrent, behind = _sections(saved.layers)
    stacks, names = _stacks(recurrent, saved.tensors)
    head, output, activation = _head(behind, saved.tensors, names)
    config: dict[str, Any] = {"format_version": 1, **stacks, "head": head, "dtype": "float32"}
    if embedding is None:
        config["features"] = [f"feature_{index + 1}" for index in range(config["input_size"])]
    else:
        table = saved.tensors[f"{embedding.name}.weight"]
        names[f"{embedding.name}.weight"] = "embedding.weight"
        config |= {"embedding_size": table.shape[1], "vocab_size": table.shape[0]}
    outputs = saved.tensors[f"{output.name}.weight"].shape[0]
    each = bool(recurrent[-1].options.get("return_sequences"))
    if each and activation == "softmax" and outputs == config.get("vocab_size"):
        config |= {"task": "next-word", "architecture": "language-model", "tie_weights": False}
        return Proposal(_complete(config, architectures), names, (), pack_options=("--vocab", "WORDS"))
    meaning = _meaning(outputs, activation, each)
    config |= {"architecture": "sequence-encoder", "readout": "each" if each else "last", **meaning}
    guessed = ("labels" if "labels" in meaning else "names",)
    options = ("--preprocessor", "FILE") if embedding is None else ("--tokenizer", "FILE")
    return Proposal(_complete(config, architectures), names, guessed, _unknown(saved), options)


def _sections(saved: Sequence[SavedLayer]) -> tuple[SavedLayer | None, list[SavedLayer], list[SavedLayer]]:
    """Return the embedding, if any, the recurrent layers and those behind them. Raises UnsupportedNetwork."""
    layers = [layer for layer in saved if layer.kind not in _TRAINING]
    embedding = layers.pop(0) if layers and layers[0].kind == "Embedding" else None
    recurrent = [layer for layer in layers if _cell_of(layer)]
    if not recurrent or layers[: len(recurrent)] != recurrent:
        raise UnsupportedNetwork("its recurrent layers do not follow on one another")
    return embedding, recurrent, layers[len(recurrent) :]


def _complete(config: dict[str, Any], architectures: Sequence[AnyArchitecture]) -> dict[str, Any]:
    """Return a proposed config with its `state`. Raises UnsupportedNetwork if its fields contradict."""
    return complete_config(find_spec(config, "the proposed config.json", architectures).config_class, config)


def _cell_of(layer: SavedLayer) -> str | None:
    kind = layer.options.get("layer") if layer.kind == "Bidirectional" else layer.kind
    return CELLS.get(str(kind))


def _stacks(recurrent: Sequence[SavedLayer], tensors: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the fields of the recurrent layers, and the new names of their tensors. Raises UnsupportedNetwork."""
    names: dict[str, str] = {}
    for index, layer in enumerate(recurrent):
        _require_plain(layer, is_last=index == len(recurrent) - 1)
        own = [name for name in tensors if name.startswith(f"{layer.name}.")]
        names |= {name: f"rnn.{name[len(layer.name) + 1 :].replace('_l0', f'_l{index}')}" for name in own}
    stacks = [_stack([*members], tensors) for _, members in groupby(recurrent, _same_stack)]
    return {**stacks[0], **({"stacks": stacks[1:]} if len(stacks) > 1 else {})}, names


def _same_stack(layer: SavedLayer) -> tuple[object, ...]:
    keys = ("activation", "recurrent_activation", "use_bias", "reset_after")
    return (_cell_of(layer), layer.kind, *(layer.options.get(key) for key in keys))


def _require_plain(layer: SavedLayer, *, is_last: bool) -> None:
    for key, plain in _PLAIN.items():
        if layer.options.get(key, plain) != plain:
            raise UnsupportedNetwork(f"{key} of {layer.name} is {layer.options[key]!r}, which is not served")
    if not is_last and not layer.options.get("return_sequences"):
        raise UnsupportedNetwork(f"{layer.name} returns its last output only, in front of another recurrent layer")


def _stack(members: list[SavedLayer], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    first, (cell, options) = members[0], _cell(members[0])
    sizes = [tensors[f"{layer.name}.weight_hh_l0"].shape[1] for layer in members]
    return {
        "cell": cell,
        "num_layers": len(members),
        "input_size": tensors[f"{first.name}.weight_ih_l0"].shape[1],
        "hidden_size": sizes[0] if len(set(sizes)) == 1 else sizes,
        "bias": bool(first.options.get("use_bias", True)),
        "bidirectional": first.kind == "Bidirectional",
        **({"cell_options": options} if options else {}),
    }


def _cell(layer: SavedLayer) -> tuple[str | None, dict[str, Any]]:
    """Return the cell of a recurrent layer, and those of its options that are not PyTorch's."""
    cell, options = _cell_of(layer), dict[str, Any]()
    activation, gate = (_activation(layer, key) for key in ("activation", "recurrent_activation"))
    if cell == "rnn_tanh" and activation == "relu":
        return "rnn_relu", options
    if activation != "tanh":
        options["activation"] = activation
    if cell != "rnn_tanh" and gate != "sigmoid":
        options["gate_activation"] = gate
    if cell == "gru" and not layer.options.get("reset_after", False):
        options["reset"] = "before"
    return cell, options


def _head(
    behind: Sequence[SavedLayer], tensors: Mapping[str, Tensor], names: dict[str, str]
) -> tuple[list[dict[str, Any]], SavedLayer, str]:
    """Return the entries of `head`, the output layer and its activation, and add the new names of the tensors."""
    weighted = [layer for layer in behind if layer.kind not in _ACTIVATIONS]
    if not weighted or _plain_kind(weighted[-1]) != "Dense":
        raise UnsupportedNetwork("it has no Dense layer at the end")
    *front, last = weighted
    places = [*(f"head.{index}" for index in range(len(front))), "output"]
    for place, layer in zip(places, weighted, strict=True):
        names |= {name: f"{place}{name[len(layer.name) :]}" for name in tensors if name.startswith(f"{layer.name}.")}
    return [_entry(layer, tensors) for layer in front], last, _output_activation(behind, last)


def _output_activation(behind: Sequence[SavedLayer], last: SavedLayer) -> str:
    """Return the activation of the last layer with weights, or of the layer behind it. Raises UnsupportedNetwork."""
    if any(layer.kind in _ACTIVATIONS for layer in behind[:-1]):
        raise UnsupportedNetwork("it has an Activation layer between others")
    own = _activation(last, "activation")
    if behind[-1] is last:
        return own
    activation = _activation(behind[-1], "activation")
    if own not in {"linear", activation}:
        raise UnsupportedNetwork("its last layer has two activations")
    return activation


def _entry(layer: SavedLayer, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    kind, activation = _plain_kind(layer), _activation(layer, "activation")
    if kind == "Dense":
        return {"size": tensors[f"{layer.name}.weight"].shape[0], "activation": activation}
    norms = {"LayerNormalization": "layer_norm", "BatchNormalization": "batch_norm"}
    if kind in norms:
        return {norms[kind]: True, "eps": layer.options.get("epsilon", _EPSILON)}
    raise UnsupportedNetwork(f"the layer {kind} ({layer.name}) is not served behind the recurrent layers")


def _plain_kind(layer: SavedLayer) -> str:
    return str(layer.options.get("layer")) if layer.kind == "TimeDistributed" else layer.kind


def _activation(layer: SavedLayer, key: str) -> str:
    value = layer.options.get(key)
    return "linear" if value is None else str(value)


def _meaning(outputs: int, activation: str, each: bool) -> dict[str, Any]:
    """Return the task and the fields of its outputs. Raises UnsupportedNetwork."""
    labels = [f"label_{index + 1}" for index in range(outputs)]
    if activation == "softmax":
        return {"task": "tagging" if each else "classification", "labels": labels}
    if activation == "sigmoid" and not each:
        return {
            "task": "classification",
            "labels": ["label_1", "label_2"] if outputs == 1 else labels,
            **({"multi_label": True} if outputs > 1 else {}),
        }
    names = {"linear": "none", "sigmoid": "sigmoid", "softplus": "softplus"}
    if activation not in names:
        raise UnsupportedNetwork(f"the activation {activation} of its output is not served")
    return {
        "task": "regression",
        "names": [f"value_{index + 1}" for index in range(outputs)],
        "activation": names[activation],
    }


def _unknown(saved: SavedNetwork) -> tuple[str, ...]:
    """Return what the file does not tell."""
    windows = [text for text in saved.beside if text.startswith("shape of an input") and "any" not in text]
    return (
        "what the outputs are called: set `labels` or `names`",
        *(f"whether it reads windows of this length from the zero state ({text})" for text in windows),
    )
