"""What the outputs of a Keras model are: the readout, the layers behind it, and the task."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.tooling.formats.network import SavedLayer
from service.tooling.inspect.inventory import UnsupportedNetwork
from service.tooling.inspect.proposals.keras.recurrent import goes_backwards, is_merged, returns_all
from service.tooling.inspect.questions.forward_pass import ask_windows
from service.tooling.inspect.questions.meaning import ask_proposed
from service.tooling.inspect.questions.question import Question

_REASONS = {
    "task": "what the outputs for unit vectors are: the next token, or labels",
    "target": "which of the features are forecast",
    "horizon": "how many steps ahead the outputs are",
    "distribution": "what the outputs of a step are",
    "features": "what the columns of the inputs are called, in order",
    "labels": "what the labels are called, in order",
    "names": "what the outputs are called, in order",
}
_NAMED = ("features", "labels", "names")
_POOLING = {"GlobalAveragePooling1D": "mean", "GlobalMaxPooling1D": "max"}
#: Activations that `activation` of config.json has for numbers; others are entries of the head.
_OF_NUMBERS = {"linear": "none", "sigmoid": "sigmoid", "softplus": "softplus"}
CLASSIFICATION, TAGGING, REGRESSION, EMBEDDING = "classification", "tagging", "regression", "embedding"
NEXT_WORD, FORECASTING = "next-word", "forecasting"
#: Activations of the output layer of a task without labels.
_OUTPUTS: dict[str, set[str]] = {
    REGRESSION: {*_OF_NUMBERS},
    FORECASTING: {"linear"},
    NEXT_WORD: {"linear", "softmax"},
    EMBEDDING: set(),
}
_GUESSED = {NEXT_WORD: (), FORECASTING: ("features", "target", "horizon")}


def take_readout(last: SavedLayer, behind: list[SavedLayer], timesteps: int | None) -> str:
    """Remove the layers that choose a timestep or pool all of them, and return the readout.

    Raises UnsupportedNetwork.
    """
    readout = "each" if returns_all(last) else "last"
    while behind and behind[0].kind in {*_POOLING, "Flatten"}:
        layer = behind.pop(0)
        readout = _of_flatten(layer, readout, timesteps) if layer.kind == "Flatten" else _of_pooling(layer, readout)
    if readout == "each" and goes_backwards(last):
        raise UnsupportedNetwork(
            f"{last.name} returns the outputs of all timesteps in reverse order, which is not served: "
            "train it with return_sequences=False"
        )
    if readout == "max" and is_merged(last):
        raise UnsupportedNetwork(f"the maximum of merged directions ({last.name}) is not served")
    return readout


def _of_pooling(layer: SavedLayer, readout: str) -> str:
    if readout != "each" or layer.options.get("data_format", "channels_last") != "channels_last":
        raise UnsupportedNetwork(f"the layer {layer.kind} ({layer.name}) is not served at its place")
    return _POOLING[layer.kind]


def _of_flatten(layer: SavedLayer, readout: str, timesteps: int | None) -> str:
    if readout == "each" and timesteps != 1:
        raise UnsupportedNetwork(
            f"the layer Flatten ({layer.name}) puts {timesteps or 'all'} timesteps side by side, which is not served: "
            "train it with return_sequences=False or GlobalAveragePooling1D in its place"
        )
    return "last" if readout == "each" else readout


def output_activation(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the activation of the last layer."""
    return str(entries[-1].get("activation", "linear")) if entries else "linear"


def split_output(entries: list[dict[str, Any]], task: str) -> dict[str, Any] | None:
    """Remove and return the entry that is the output layer, None if the network has none of its own.

    Labels have the softmax or sigmoid of their task. Numbers have few activations, others stay in the head.
    """
    known = _OUTPUTS.get(task, {"linear", "softmax", "sigmoid"})
    if not entries or output_activation(entries) not in known:
        return None
    if "size" in entries[-1]:
        return entries.pop()
    if entries[-1].get("activation") in {"softmax", "sigmoid"} and task not in _OUTPUTS:
        entries[-1]["activation"] = "linear"  # the scores are those in front of it
    return None


def likely_task(readout: str, activation: str, entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the task that activation and readout tell."""
    if activation == "softmax":
        return TAGGING if readout == "each" else CLASSIFICATION
    if activation == "sigmoid" and readout != "each":
        return CLASSIFICATION
    return REGRESSION if entries else EMBEDDING


def task_fields(task: str, count: int, activation: str, *, own_output: bool) -> dict[str, Any]:
    """Return the task and the fields of its outputs."""
    labels = [f"label_{index + 1}" for index in range(count)]
    if task in {CLASSIFICATION, TAGGING}:
        several = task == CLASSIFICATION and activation == "sigmoid" and count > 1
        return {
            "task": task,
            "labels": ["label_1", "label_2"] if count == 1 else labels,
            **({"multi_label": True} if several else {}),
        }
    if task == EMBEDDING:
        return {"task": task}
    names = [f"value_{index + 1}" for index in range(count)]
    return {"task": task, "names": names, "activation": _OF_NUMBERS[activation] if own_output else "none"}


def next_word_fields(config: dict[str, Any], count: int) -> dict[str, Any]:  # noqa: ARG001 - the arguments of both
    """Return the fields of a language model; one without an embedding reads unit vectors."""
    features = config.pop("features", None)
    inputs = {} if features is None else {"one_hot": True, "vocab_size": len(features)}
    return {"task": NEXT_WORD, "architecture": "language-model", **config, **inputs, "tie_weights": False}


def forecast_fields(config: dict[str, Any], count: int) -> dict[str, Any]:
    """Return the fields of a forecaster of all its features, or else of the first one, as many steps as it can be."""
    if "features" not in config:
        raise UnsupportedNetwork("it reads tokens, and the task forecasting reads numbers")
    features = config["features"]
    target = features if count % len(features) == 0 else features[:1]
    own = {"target": target, "horizon": count // len(target), "distribution": "point"}
    if [config, *config.get("stacks", [])][-1]["bidirectional"]:
        own["readout"] = "last"
    return {"task": FORECASTING, "architecture": "forecaster", **config, **own}


def ask_fields(config: Mapping[str, Any]) -> tuple[Question, ...]:
    """Return what the file does not state: the task of unit vectors, padding, and what outputs and inputs are."""
    own: tuple[str, ...] = _GUESSED.get(config["task"], ("labels", "names"))
    meant = {field: _REASONS[field] for field in own if field in config and field not in _NAMED}
    named = {field: _REASONS[field] for field in own if field in config and field in _NAMED}
    padding = [
        question
        for question in ask_windows(text=True)
        if question.field == "padding" and config.get("padding", "") is None
    ]
    task = ask_proposed(config, {"task": _REASONS["task"]}, "network") if config.get("one_hot") else []
    return (*task, *padding, *ask_proposed(config, meant), *ask_proposed(config, named, "names"))
