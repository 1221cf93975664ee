"""Proposal of the config.json of a forecaster from the parts of a checkpoint.

Weights determine the number of inputs and outputs of a timestep, but not their meaning. The fields that state the
meaning are guessed, with values that fit the sizes.
"""

import re
from typing import Any

from service.nets.config.forecaster_config import ForecasterConfig
from service.tooling.inspect.front_layers import find_front
from service.tooling.inspect.head_layers import (
    HeadLayer,
    find_norms,
    head_fields,
    head_names,
    pop_layers,
    unknown_tensors,
)
from service.tooling.inspect.inventory import (
    Inventory,
    Matrix,
    Proposal,
    UnsupportedNetwork,
    complete_config,
    stack_fields,
    stack_names,
)
from service.tooling.inspect.proposals.self_feeding_decoder import SelfFeedingDecoder, split_decoder
from service.tooling.inspect.proposals.unknown_parts import describe_unknown
from service.tooling.inspect.questions.distribution import SCALE, SCALES, ask_scale
from service.tooling.inspect.questions.forward_pass import ask_convolution, ask_forward_pass, boolean
from service.tooling.inspect.questions.meaning import ask_one_hot, ask_proposed, ask_task
from service.tooling.inspect.questions.question import Question, choices_of
from service.tooling.inspect.recurrent_layers import RecurrentGroup

PACK_OPTIONS = ("--preprocessor", "identity")
MEANING = {
    "target": "which of the features are forecast",
    "horizon": "how many steps ahead the outputs are",
    "distribution": "what the outputs are of a step: numbers, or parameters of a distribution",
}
OTHER_TASKS = ("regression", "classification", "tagging")
UNKNOWN = (
    "names, units and order of the inputs, their mean and scale: state `features` and give a preprocessor.json",
    "which of them are forecast, how far, as which distribution: horizon x targets x parameters numbers, in this order",
    "whether a target is among the inputs: what is forecast has to be one of `features` to be served",
    "whether the outputs are forecasts at all: state `task` as classification or regression if they are not",
    "the time between rows, and inputs that are calendar features or covariates: set `frequency`, `calendar`, `known`",
)
#: Names of layers that give the mean and the scale of a distribution.
MEAN_NAME = re.compile(r"(?:^|[._])(?:mu|mean|loc)(?:[._]|$)")
SCALE_NAME = re.compile(r"(?:^|[._])(?:log_?)?(?:sigma|std|scale|var(?:iance)?)(?:[._]|$)|presigma")
#: Prefixes of names of layers behind the recurrent ones, for sizes that would fit in front of them too.
BEHIND = ("head", "out", "fc", "dec")
_READOUT = (
    "what the layers behind read of both directions: the output at the last row, or the last one of each direction"
)
_PLACE = "whether a square layer stands in front of the recurrent ones or behind them"
_RESIDUAL = Question(
    "output_residual",
    "whether the inputs are added to the outputs",
    choices_of(words={"false": False, "true": True}),
    changes_reading=True,
)


def propose_forecaster(parts: Inventory) -> Proposal:
    """Fit the parts to a forecaster. Raises UnsupportedNetwork."""
    parts, decoder = split_decoder(parts)
    group = _recurrent_group(parts)
    projection, front, rest = find_input_projection(parts), find_front(parts), parts.linears
    names = stack_names(group, "rnn") | front.names
    if projection is not None:
        rest.remove(projection)
        names |= projection.renamed("input_projection")
    head, outputs = _outputs(parts, rest, (group if decoder is None else decoder.group).output_size)
    names |= head_names(head) | ({} if decoder is None else decoder.names)
    for place, layer in outputs.items():
        names |= layer.renamed(place)
    if left := [name for name in parts.others if name not in names]:
        raise UnsupportedNetwork(f"it has parts that find no place: {', '.join(left)}")
    width, answers = front.reads if projection is None else projection.columns, next(iter(outputs.values())).rows
    scaled = len(outputs) > 1
    config = {
        "format_version": 1,
        "task": "forecasting",
        "architecture": "forecaster",
        **stack_fields(group),
        **front.fields,
        **_meaning(width, answers),
        **({} if decoder is None else decoder.fields(width, answers)),
        **({"distribution": "gaussian", "scale": SCALES["softplus"]} if scaled else {}),
        **_direction_fields(group),
        "input_projection": projection is not None,
        "head": head_fields(head),
        "dtype": "float32",
    }
    questions = _questions(config, parts, projection, outputs, decoder=decoder)
    complete = complete_config(ForecasterConfig, config)
    return Proposal(complete, names, tuple(questions), UNKNOWN, PACK_OPTIONS, follow_ups=(SCALE,))


def _direction_fields(group: RecurrentGroup) -> dict[str, Any]:
    """Return the fields of layers of both directions, which read windows of a length to be stated."""
    return {"bidirectional": True, "readout": "last_output", "window": 1} if group.bidirectional else {}


def _questions(
    config: dict[str, Any],
    parts: Inventory,
    projection: Matrix | None,
    outputs: dict[str, Matrix],
    *,
    decoder: SelfFeedingDecoder | None,
) -> list[Question]:
    """Return what the user has to say of the network."""
    (group,), (output, *others), width = parts.groups, outputs.values(), len(config["features"])
    # A square layer fits on either side of the recurrent ones.
    unsure = projection is not None and projection.columns == group.input_size == group.output_size
    return [
        *(_ask_task(width, output.rows * len(outputs)) if decoder is None else []),
        *([boolean("input_projection", _PLACE, plain=True)] if unsure else []),
        *ask_convolution(config.get("convolution", [])),
        *([Question("readout", _READOUT, choices_of("last_output", "last"))] if group.bidirectional else []),
        *ask_forward_pass(config, parts, output.name.removesuffix(".weight")),
        *ask_scale(config["distribution"], heads=bool(others)),
        *([_RESIDUAL] if decoder is None and output.rows == width and not others else []),
        *([] if decoder is None else decoder.questions(told=parts.told_cells)),
        *_ask_meaning(config, outputs=output.rows, decoder=decoder),
        *ask_proposed(config, {"features": "what the columns of the inputs are called, in order"}, "names"),
    ]


def _ask_meaning(config: dict[str, Any], *, outputs: int, decoder: SelfFeedingDecoder | None) -> list[Question]:
    """Return the questions for the fields that sizes leave open: one output is a number of one step."""
    several = outputs > 1 and decoder is None
    target = len(config["features"]) > 1 and (decoder is None or decoder.targets < len(config["features"]))
    is_open = {"target": target, "horizon": several, "distribution": several}
    return ask_proposed(config, {field: MEANING[field] for field, asked in is_open.items() if asked})


def _recurrent_group(parts: Inventory) -> RecurrentGroup:
    """Return the recurrent layers. Raises UnsupportedNetwork if they, or other parts, make no forecaster."""
    (group,) = parts.groups
    if unknown := unknown_tensors(parts):
        raise UnsupportedNetwork(f"it has {describe_unknown(parts, unknown)}")
    return group


def _ask_task(width: int, outputs: int) -> list[Question]:
    """Return the questions for the task and for one-hot inputs, which as many outputs may predict the next one of."""
    others = (*OTHER_TASKS, "next-word") if width == outputs > 1 else OTHER_TASKS
    return [ask_task("forecasting", others, outputs), *ask_one_hot(width)]


def find_input_projection(parts: Inventory) -> Matrix | None:
    """Return the linear layer between inputs and recurrent layers, or None.

    It has that name, or it is the first of several layers, comes before the recurrent ones and fits their input.
    """
    for layer in parts.linears:
        if layer.name == "input_projection.weight":
            return layer
    group, linears, order = parts.groups[0], parts.linears, list(parts.tensors)
    if len(linears) < 2 or linears[0].rows != group.input_size:
        return None
    first = linears[0]
    before = order.index(first.name) < min(order.index(name) for name in group.names)
    behind = first.columns == group.output_size and _called_behind(first, group)
    return first if before and not behind else None


def _called_behind(layer: Matrix, group: RecurrentGroup) -> bool:
    words = layer.name.lower().removesuffix(".weight").split(".")
    return not group.prefix.startswith(words[0]) and any(word.startswith(BEHIND) for word in words)


def _outputs(parts: Inventory, rest: list[Matrix], width: int) -> tuple[list[HeadLayer], dict[str, Matrix]]:
    """Return the layers of the head, and the output layers by their names in a model folder: one, or mean and scale.

    Raises UnsupportedNetwork.
    """
    pair = _side_by_side(rest)
    for layer in pair[1:]:
        rest.remove(layer)
    head, output = _chain(parts, rest, width)
    return head, {"output.mean": pair[0], "output.scale": pair[1]} if pair else {"output": output}


def _side_by_side(rest: list[Matrix]) -> list[Matrix]:
    """Return two layers of one shape whose names say that they give a mean and a scale, or none."""
    means, scales = ([layer for layer in rest if name.search(layer.name.lower())] for name in (MEAN_NAME, SCALE_NAME))
    if len(means) != 1 or len(scales) != 1:
        return []
    (mean,), (scale,) = means, scales
    return [mean, scale] if (mean.rows, mean.columns) == (scale.rows, scale.columns) else []


def _chain(parts: Inventory, rest: list[Matrix], width: int) -> tuple[list[HeadLayer], Matrix]:
    """Order the layers so that each reads the output of the one before, the first `width` numbers.

    Return those of the head, and the output layer. Raises UnsupportedNetwork.
    """
    layers = pop_layers(parts, rest, find_norms(parts), width)
    if rest:
        raise UnsupportedNetwork(
            _misfit(rest[0], next((la.rows for la in layers[::-1] if isinstance(la, Matrix)), width))
        )
    if not layers or not isinstance(layers[-1], Matrix):
        raise UnsupportedNetwork("there is no linear layer behind the recurrent ones to forecast with")
    return layers[:-1], layers[-1]


def _misfit(layer: Matrix, width: int) -> str:
    reads = f"{layer.name} reads {layer.columns} numbers where {width} are handed on"
    if width and layer.columns > width and layer.columns % width == 0:
        return f"{reads}: a layer over a window of {layer.columns // width} timesteps at once is not served"
    return f"{reads}: layers side by side, such as one for the mean and one for the scale, make one output layer only"


def _meaning(width: int, answers: int) -> dict[str, Any]:
    """Return fields that fit the sizes: all features one step ahead, or the first feature `answers` steps ahead."""
    features = [f"feature_{index + 1}" for index in range(width)]
    whole = answers == width
    return {
        "features": features,
        "target": features if whole else features[:1],
        "horizon": 1 if whole else answers,
        "distribution": "point",
        "frequency": None,
    }
