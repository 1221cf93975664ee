"""The layers of a functional Keras model from its input to its output, which have to form a chain."""

from collections.abc import Iterator, Sequence
from typing import Any

from service.tooling.formats.keras.model_json import WAY_OUT, UnsupportedModel, as_object, class_of, name_of

#: Values that a tensor may stand in, within the arguments of a call.
MAX_VALUES = 1000
#: Layers that return their state behind their outputs, if they are told to.
_WITH_STATE = {"LSTM", "GRU", "SimpleRNN"}
#: A layer and the number of its output.
_Tensor = tuple[str, int]


def chain_layers(entries: Sequence[object], config: dict[str, Any]) -> list[object]:
    """Return the layers in the order of computation. Raises UnsupportedModel for branches."""
    layers = {name_of(entry): entry for entry in entries}
    outputs, inputs = set(_tensors(config.get("output_layers"))), set(_tensors(config.get("input_layers")))
    if len(outputs) != 1 or len(inputs) != 1:
        raise UnsupportedModel(
            f"a Keras model of {len(inputs)} inputs and {len(outputs)} outputs, expected one each: build "
            "keras.Model(one_input, one_output) of its layers, and save that"
        )
    chain: list[object] = []
    tensor: _Tensor | None = outputs.pop()
    while tensor is not None:
        entry = layers.get(tensor[0])
        if entry is None:
            raise UnsupportedModel(f"a Keras model without its layer {tensor[0][:80]!r}")
        if len(chain) > len(layers):
            raise UnsupportedModel("a Keras model whose layers read each other in a circle")
        chain.append(_read_at(entry, tensor))
        tensor = _before(entry)
    return chain[::-1]


def _read_at(entry: object, tensor: _Tensor) -> object:
    """Return a layer of which the next one reads this output: the second of a recurrent layer is its last one."""
    fields, (name, number) = as_object(entry), tensor
    if number == 0:
        return entry
    if number != 1 or class_of(entry) not in _WITH_STATE:
        raise UnsupportedModel(
            f"output {number} of the Keras layer {name[:80]!r} in use, expected its first, and a chain of {WAY_OUT}"
        )
    return {**fields, "config": {**as_object(fields.get("config")), "return_sequences": False}}


def _before(entry: object) -> _Tensor | None:
    """Return what a layer reads, None for an input. Raises UnsupportedModel if it is not one tensor."""
    nodes, name = as_object(entry).get("inbound_nodes"), name_of(entry)[:80]
    nodes = nodes if isinstance(nodes, list) else []
    if len(nodes) > 1:
        raise UnsupportedModel(
            f"the Keras layer {name!r} used {len(nodes)} times, expected once, in a chain of {WAY_OUT}"
        )
    read, further = _arguments(nodes[0]) if nodes else (set(), set())
    if further:
        other = min(further)[0][:80]
        raise UnsupportedModel(
            f"the Keras layer {name!r} that begins with the state of {other!r} or reads it beside its input, expected "
            f"a chain of {WAY_OUT}"
        )
    if len(read) > 1:
        raise UnsupportedModel(
            f"a Keras model whose layer {name!r} reads {len(read)} others, expected a chain of {WAY_OUT}"
        )
    return read.pop() if read else None


def _arguments(node: object) -> tuple[set[_Tensor], set[_Tensor]]:
    """Return the tensors that a layer reads, and those among its keywords; masks are passed on beside."""
    if isinstance(node, dict):  # Keras 3
        read, keywords = node.get("args"), as_object(node.get("kwargs"))
    else:
        parts = [part for part in node if isinstance(part, list)] if isinstance(node, list) else []
        read = parts
        keywords = {key: value for part in parts for key, value in as_object(part[3:] and part[3]).items()}
    others = [value for key, value in keywords.items() if key != "mask"]
    return set(_tensors(read)), set(_tensors(others))


def _tensors(value: object) -> Iterator[_Tensor]:
    """Yield the tensors in a value: objects with a `keras_history`, or lists [layer, node, output, ...]."""
    waiting = [value]
    for _ in range(MAX_VALUES):
        if not waiting:
            return
        item = waiting.pop()
        if isinstance(item, dict):
            history = as_object(item.get("config")).get("keras_history")
            waiting.extend([history] if history is not None else item.values())
        elif isinstance(item, list) and len(item) > 2 and isinstance(item[0], str):
            if type(item[2]) is int:
                yield item[0], item[2]
        elif isinstance(item, list):
            waiting.extend(item)
    raise UnsupportedModel(f"a Keras layer with more than {MAX_VALUES} arguments")
