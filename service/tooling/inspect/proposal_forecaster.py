"""From the parts of a checkpoint to the config.json of a forecaster.

Weights tell how many numbers a timestep has and how many an answer has, never what the numbers mean: the fields that
state it are guessed, with values that fit the sizes.
"""

from typing import Any

from service.tooling.inspect.inventory import (
    Inventory,
    Matrix,
    Proposal,
    UnsupportedNetwork,
    completed,
    stack_fields,
    stack_names,
    take,
)
from service.tooling.inspect.recurrent_layers import RecurrentGroup

GUESSED = ("features", "target", "horizon", "distribution")
UNKNOWN = (
    "names, units and order of the inputs, their mean and scale: state `features` and give a preprocessor.json",
    "which of them are forecast, how far, as which distribution: horizon x targets x parameters numbers, in this order",
    "whether a target is among the inputs: what is forecast has to be one of `features` to be served",
    "the time between rows, and inputs that are calendar features or covariates: set `frequency`, `calendar`, `known`",
)
#: What layers behind the recurrent ones are called, where the sizes would fit in front of them too.
BEHIND = ("head", "out", "fc", "dec")


def propose_forecaster(parts: Inventory) -> Proposal:
    """Fit the parts to a forecaster. Raises Unfit."""
    (group,), rest = parts.groups, parts.linears
    if group.bidirectional:
        raise UnsupportedNetwork("it reads in both directions, so it cannot continue a series")
    if parts.others:
        raise UnsupportedNetwork(f"it has parts that are not known here: {', '.join(parts.others)}")
    projection = front_layer(parts)
    names = stack_names(group, "rnn")
    if projection is not None:
        rest.remove(projection)
        names |= projection.renamed("input_projection")
    layers = _chain(rest, group.output_size)
    if not layers:
        raise UnsupportedNetwork("there is no linear layer behind the recurrent ones to forecast with")
    *head, output = layers
    names |= output.renamed("output")
    for index, layer in enumerate(head):
        names |= layer.renamed(f"head.{index}")
    width = group.input_size if projection is None else projection.columns
    config = {
        "format_version": 1,
        "task": "forecasting",
        "architecture": "forecaster",
        **stack_fields(group),
        **_meaning(width, output.rows),
        "input_projection": projection is not None,
        "head": [{"size": layer.rows, "activation": "none"} for layer in head],
        "dtype": "float32",
    }
    # Square layers fit on either side of the recurrent ones.
    unsure = projection is not None and projection.columns == group.input_size == group.output_size
    open_fields = {"cell": group.cell == "rnn", "input_projection": unsure, "head": bool(head)}
    guessed = [*(field for field, is_open in open_fields.items() if is_open), *GUESSED]
    return Proposal(completed(config), names, tuple(guessed), UNKNOWN)


def front_layer(parts: Inventory) -> Matrix | None:
    """Return the linear layer between inputs and recurrent layers: it gives what these read, and stands before them."""
    group, linears = parts.groups[0], parts.linears
    own = [one for one in linears if one.name == "input_projection.weight"]
    fits = [one for one in linears[:1] if one.rows == group.input_size and len(linears) > 1]
    if own or not fits:
        return own[0] if own else None
    (first,) = fits
    order = list(parts.tensors)
    before = order.index(first.name) < min(order.index(name) for name in group.names)
    behind = first.columns == group.output_size and _called_behind(first, group)
    return first if before and not behind else None


def _called_behind(layer: Matrix, group: RecurrentGroup) -> bool:
    words = layer.name.lower().removesuffix(".weight").split(".")
    return not group.prefix.startswith(words[0]) and any(word.startswith(BEHIND) for word in words)


def _chain(rest: list[Matrix], width: int) -> list[Matrix]:
    """Order the layers so that each reads what the one before gives, the first `width` numbers. Raises Unfit."""
    layers: list[Matrix] = []
    while rest:
        layer = take(rest, width)
        if layer is None:
            raise UnsupportedNetwork(_misfit(rest[0], width))
        layers.append(layer)
        width = layer.rows
    return layers


def _misfit(layer: Matrix, width: int) -> str:
    reads = f"{layer.name} reads {layer.columns} numbers where {width} are handed on"
    if width and layer.columns > width and layer.columns % width == 0:
        return f"{reads}: a layer over a window of {layer.columns // width} timesteps at once is not served"
    return f"{reads}: layers side by side, such as one for the mean and one for the scale, make one output layer only"


def _meaning(width: int, answers: int) -> dict[str, Any]:
    """Return fields that fit the sizes, as an example: all features one step ahead, or the first one so many steps."""
    features = [f"feature_{index + 1}" for index in range(width)]
    whole = answers == width
    return {
        "features": features,
        "target": features if whole else features[:1],
        "horizon": 1 if whole else answers,
        "distribution": "point",
        "frequency": None,
    }
