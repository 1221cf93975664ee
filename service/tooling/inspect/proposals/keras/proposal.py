"""Proposal of the config.json of a Keras model."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.nets.network_spec import find_spec
from service.tasks.architecture_spec import AnyArchitecture
from service.tooling.formats.network import SavedNetwork
from service.tooling.inspect.inventory import Proposal, UnsupportedNetwork, complete_config
from service.tooling.inspect.proposals.keras.feed_forward import Entries, entries_of
from service.tooling.inspect.proposals.keras.front import convolution_fields
from service.tooling.inspect.proposals.keras.lookups import cut_texts, lacking_vocabulary, padding_of
from service.tooling.inspect.proposals.keras.outputs import (
    FORECASTING,
    NEXT_WORD,
    ask_fields,
    forecast_fields,
    likely_task,
    next_word_fields,
    output_activation,
    split_output,
    take_readout,
    task_fields,
)
from service.tooling.inspect.proposals.keras.parts import INPUT, Parts, merging, split
from service.tooling.inspect.proposals.keras.recurrent import reads_both, stack_fields
from service.tooling.inspect.questions.distribution import SCALE

KIND = "Keras model"
#: A network over so many numbers with as many classes rather reads characters as unit vectors.
_MIN_ALPHABET = 16
_WAY_OUT = (
    "so no config.json is proposed; a model that is not served as layers can be exported, "
    'model.export("model.onnx", format="onnx"), and that file imported'
)


def propose_keras(
    saved: SavedNetwork, architectures: Sequence[AnyArchitecture], task: str | None = None
) -> tuple[str, Proposal | None]:
    """Return a description of a Keras model, and a proposal if it is served: one for `task` if that is stated."""
    layers = [layer for layer in saved.layers if layer.kind != INPUT]
    chain = " -> ".join(str(layer.options.get("layer") or layer.kind) for layer in layers)
    try:
        return f"a Keras model ({chain})", _propose(saved, architectures, task)
    except UnsupportedNetwork as error:
        return f"a Keras model ({chain}): {error}, {_WAY_OUT}", None


def _propose(saved: SavedNetwork, architectures: Sequence[AnyArchitecture], task: str | None) -> Proposal:
    parts, tensors = split(saved), saved.tensors
    stacks, names = stack_fields(parts.blocks, tensors)
    convolutions, more_names = convolution_fields(parts.convolutions, tensors)
    names |= more_names
    behind = [*parts.behind]
    readout = take_readout(parts.last, behind, parts.timesteps)
    head = merging(parts.last, saved)
    head.extend(entries_of(behind, tensors, last_axis=2 if readout == "each" else 1))
    config: dict[str, Any] = {**stacks, **({"convolution": convolutions} if convolutions else {})}
    config |= _inputs(parts, saved, config, names)
    if (window := parts.window(readout)) is not None:
        config["window"] = window
    count, activation = _outputs(head, parts, saved), output_activation(head.fields)
    chosen = task or _choose(config, parts, readout, head, count)
    output = split_output(head.fields, chosen)
    names |= _head_names(head)
    config["head"] = head.fields
    make = {NEXT_WORD: next_word_fields, FORECASTING: forecast_fields}.get(chosen)
    if make is None:
        own = task_fields(chosen, count, activation, own_output=output is not None)
        config = {"task": chosen, "architecture": "sequence-encoder", "readout": readout, **own, **config}
    elif output is None or readout not in {"each", "last"}:
        raise UnsupportedNetwork(f"its outputs are not those of the task {chosen}")
    else:
        config = make(config, count)
    config = {"format_version": 1, **config, **_padding(config, parts, readout), "dtype": "float32"}
    return Proposal(
        _complete(config, architectures),
        names,
        ask_fields(config),
        _unknown(parts, config, saved),
        _options(config),
        _differences(parts, config),
        (SCALE,) if chosen == FORECASTING else (),
    )


def _inputs(parts: Parts, saved: SavedNetwork, config: Mapping[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Return the fields of the inputs, and add the new name of the embedding."""
    if parts.embedding is not None:
        name = f"{parts.embedding.name}.weight"
        names[name] = "embedding.weight"
        entries, width = saved.tensors[name].shape
        return {"embedding_size": width, "vocab_size": entries}
    width = _first_width(config, names, saved)
    return {"features": [f"feature_{index + 1}" for index in range(width)]}


def _first_width(config: Mapping[str, Any], names: Mapping[str, str], saved: SavedNetwork) -> int:
    """Return the number of features: what the first layer with weights reads."""
    by_place = {new: saved.tensors[old].shape for old, new in names.items()}
    for place in ("rnn.convolution.0.weight", *(f"rnn.before_l0.{index}.weight" for index in range(256))):
        if place in by_place:
            return by_place[place][-1] if len(by_place[place]) < 3 else by_place[place][1]
    width: int = config["input_size"]
    return width


def _outputs(head: Entries, parts: Parts, saved: SavedNetwork) -> int:
    """Return the number of outputs."""
    sizes = [entry["size"] for entry in head.fields if "size" in entry]
    hidden: int = saved.tensors[f"{parts.last.name}.weight_hh_l0"].shape[1]
    return sizes[-1] if sizes else hidden * (2 if reads_both(parts.last) else 1)


def _choose(config: Mapping[str, Any], parts: Parts, readout: str, head: Entries, count: int) -> str:
    """Return the task that the file tells: next-word for a network that gives each of its tokens a probability."""
    activation = output_activation(head.fields)
    causal = readout in {"each", "last"} and not parts.reads_backwards
    tokens = config.get("vocab_size") or (count if len(config["features"]) == count >= _MIN_ALPHABET else 0)
    scores = {"softmax", "linear"} if parts.embedding is not None else {"softmax"}
    if causal and tokens == count and activation in scores and head.fields and "size" in head.fields[-1]:
        return NEXT_WORD
    return likely_task(readout, activation, head.fields)


def _padding(config: Mapping[str, Any], parts: Parts, readout: str) -> dict[str, Any]:
    """Return the padding that the file states, or the field to be stated if texts may have been filled up to a length.

    A mask tells tokens from it. Raises UnsupportedNetwork if answers for timesteps depend on padding behind them.
    """
    embedding, whole = parts.embedding, not parts.last.options.get("return_sequences")
    if stated := padding_of(parts.lookup, embedding):
        if readout != "each":
            return {"padding": stated}
        if parts.reads_backwards:
            raise UnsupportedNetwork(
                f"both directions read the padding of {stated['length']} words without a mask, which is not served: "
                "train it with mask_zero=True"
            )
        return {}
    asked = embedding is not None and "window" in config and not embedding.options.get("mask_zero") and whole
    return {"padding": None} if asked else {}


def _options(config: Mapping[str, Any]) -> tuple[str, str]:
    """Return the option of `pack` for the file that the network needs beside its weights."""
    if config["task"] == NEXT_WORD:
        return "--vocab", "WORDS"
    return ("--tokenizer", "FILE") if "vocab_size" in config else ("--preprocessor", "FILE")


def _head_names(head: Entries) -> dict[str, str]:
    """Map the tensors of the head; those of an entry that was removed from its end are the output layer's."""
    return {
        old: f"head.{index}.{local}" if index < len(head.fields) else f"output.{local}"
        for old, (index, local) in head.tensors.items()
    }


def _complete(config: dict[str, Any], architectures: Sequence[AnyArchitecture]) -> dict[str, Any]:
    """Return a proposed config with its `state`. Raises UnsupportedNetwork if its fields contradict."""
    return complete_config(find_spec(config, "the proposed config.json", architectures).config_class, config)


def _unknown(parts: Parts, config: Mapping[str, Any], saved: SavedNetwork) -> tuple[str, ...]:
    """Return what the file does not tell."""
    lines = [f"what the outputs are called: set `{field}`" for field in ("labels", "names") if field in config]
    lines += lacking_vocabulary(parts.lookup, saved.content)
    if config.get("padding", "") is None:
        lines.append(
            f"whether shorter texts were filled up to {config['window']} tokens, as pad_sequences does: set `padding`"
        )
    return tuple(lines)


def _differences(parts: Parts, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what the file tells that requests have to heed."""
    lines = [*cut_texts(parts.lookup)]
    for layer in parts.masks:
        value = layer.options.get("mask_value", 0.0)
        lines.append(f"rows whose numbers are all {value} were skipped in training ({layer.name}): leave them out")
    if parts.timesteps is not None and "window" not in config and not parts.is_stateful:
        lines.append(f"its answers are those of whole sequences, and training had sequences of {parts.timesteps}")
    return tuple(lines)
