"""Recurrent cells that were written by hand as linear layers, recognised by the names that people give these."""

from collections.abc import Iterator, Mapping

from torch import Tensor

from service.tooling.inspect.recurrent_layers import RecurrentGroup

#: Names of the layer over the input and of the one over the state, in lower case without underscores.
PAIRS = (("i2h", "h2h"), ("x2h", "h2h"), ("wx", "wh"), ("wxh", "whh"), ("wih", "whh"), ("in2hidden", "hidden2hidden"))
#: Names of one layer over [input; state], and of a second one whose output is the network's.
COMBINED = (("i2h", "i2o"), ("in2hidden", "in2output"), ("x2h", "x2o"), ("input2hidden", "input2output"))


def find_linear_cells(tensors: Mapping[str, Tensor]) -> list[RecurrentGroup]:
    """Return the cell of linear layers, if there is one."""
    stems = {_stem(name): name.removesuffix("weight") for name in tensors if name.endswith("weight")}
    layers = {stem: place for stem, place in stems.items() if tensors[f"{place}weight"].dim() == 2 and stem}
    return [*_pairs(tensors, layers), *_combined(tensors, layers)][:1]


def _stem(name: str) -> str:
    """Return the name of a layer in lower case without underscores, and without what is in front of it."""
    return name.removesuffix(".weight").rpartition(".")[2].replace("_", "").lower()


def _pairs(tensors: Mapping[str, Tensor], layers: Mapping[str, str]) -> Iterator[RecurrentGroup]:
    """Yield cells of a layer over the input and one over the state."""
    for first, second in PAIRS:
        if not {first, second} <= layers.keys():
            continue
        inputs, state = tensors[f"{layers[first]}weight"], tensors[f"{layers[second]}weight"]
        if state.shape[0] == state.shape[1] == inputs.shape[0]:
            yield _pair(tensors, layers[first], layers[second])


def _pair(tensors: Mapping[str, Tensor], first: str, second: str) -> RecurrentGroup:
    biases = [f"{place}bias" for place in (first, second) if f"{place}bias" in tensors]
    names = {f"{first}weight": "weight_ih_l0", f"{second}weight": "weight_hh_l0"}
    names |= dict(zip(biases, ("bias_ih_l0", "bias_hh_l0"), strict=False))
    rows, columns = tensors[f"{first}weight"].shape
    options = {"bias": "single"} if len(biases) == 1 else {}
    return RecurrentGroup(first, "rnn", columns, (rows,), 0, False, bool(biases), names, cell_options=options)


def _combined(tensors: Mapping[str, Tensor], layers: Mapping[str, str]) -> Iterator[RecurrentGroup]:
    """Yield cells of one layer over [input; state], with or without a second one whose output is the network's."""
    for first, second in COMBINED:
        if first not in layers:
            continue
        rows, columns = tensors[f"{layers[first]}weight"].shape
        if columns <= rows:
            continue
        names = _names(tensors, layers[first], "combined_l0")
        outputs = tensors[f"{layers[second]}weight"] if second in layers else None
        if outputs is None:
            yield RecurrentGroup(layers[first], "rnn", columns - rows, (rows,), 0, False, True, names)
        elif outputs.shape[1] == columns:
            names |= _names(tensors, layers[second], "combined_output_l0")
            # The output becomes a part of the state, which no activation may change.
            yield RecurrentGroup(
                layers[first],
                "rnn_tanh",
                columns - rows,
                (rows + len(outputs),),
                0,
                False,
                True,
                names,
                kept_outputs=len(outputs),
                cell_options={"activation": "linear", "bias": "single"},
            )


def _names(tensors: Mapping[str, Tensor], place: str, local: str) -> dict[str, str]:
    return {f"{place}{kind}": f"{local}.{kind}" for kind in ("weight", "bias") if f"{place}{kind}" in tensors}
