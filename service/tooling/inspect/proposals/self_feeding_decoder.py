"""The decoder of a forecaster that continues the state of the recurrent layers and reads its own forecasts."""

from dataclasses import dataclass, replace
from typing import Any

from service.nets.config.forecaster_config import PARAMETERS
from service.tooling.inspect.encoder_or_decoder import identify_sides, side_of
from service.tooling.inspect.inventory import (
    Inventory,
    Matrix,
    UnsupportedNetwork,
    stack_fields,
    stack_names,
)
from service.tooling.inspect.questions.forward_pass import ACTIVATIONS, ask_cells
from service.tooling.inspect.questions.question import Question, choices_of
from service.tooling.inspect.recurrent_layers import RecurrentGroup

_START = "what the decoder reads first: the last values of the targets, or zeros"
_HORIZON = "how many steps ahead the decoder forecasts, for which the weights are the same"
_LAYER = "which activation stands behind the layer in front of the decoder's recurrent ones"
_LAYER_FIELD = "decoder.input_layers.0.activation"


@dataclass(frozen=True, slots=True)
class SelfFeedingDecoder:
    """The recurrent layers of a decoder, and the linear layer in front of them if there is one."""

    group: RecurrentGroup
    layer: Matrix | None

    @property
    def targets(self) -> int:
        """The number of forecasts that it reads."""
        return self.group.input_size if self.layer is None else self.layer.columns

    @property
    def names(self) -> dict[str, str]:
        """The names of its tensors in a model folder."""
        layer = {} if self.layer is None else self.layer.renamed("decoder.before_l0.0")
        return stack_names(self.group, "decoder") | layer

    def fields(self, features: int, parameters: int) -> dict[str, Any]:
        """Return the fields of a forecaster of so many features; an output layer gives `parameters` numbers of a step.

        Raises UnsupportedNetwork for a decoder that reads something else than forecasts of its features.
        """
        per_target = {count: name for name, count in PARAMETERS.items()}
        distribution = per_target.get(parameters // self.targets) if parameters % self.targets == 0 else None
        if distribution is None or self.targets > features:
            raise UnsupportedNetwork(
                f"its decoder {self.group.prefix}* reads {self.targets} numbers at each step where its output layer "
                f"gives {parameters} and the inputs are {features}: a decoder that reads its own forecasts is served, "
                "but none that reads the encoder's output at each step (an autoencoder) or known inputs beside them"
            )
        layer = {} if self.layer is None else {"input_layers": [{"size": self.layer.rows, "activation": "none"}]}
        names = [f"feature_{index + 1}" for index in range(self.targets)]
        decoder = {**stack_fields(self.group), **layer, "start": "last"}
        return {"target": names, "horizon": 1, "distribution": distribution, "decoder": decoder}

    def questions(self, *, told: bool) -> list[Question]:
        """Return what the user has to say of it. `told`: the file says which cells it has."""
        return [
            *ask_cells(self.group, "decoder.", told=told),
            *([Question(_LAYER_FIELD, _LAYER, choices_of(*ACTIVATIONS))] if self.layer else []),
            Question("decoder.start", _START, choices_of("last", "zeros")),
            Question("horizon", _HORIZON, choices_of(1), kind="meaning", further="N"),
        ]


def has_decoder(parts: Inventory) -> bool:
    """Return whether the parts are two stacks over numbers, one of which is called a decoder."""
    sides = {side_of(group.prefix) for group in parts.groups}
    return len(parts.groups) == 2 and not parts.embeddings and "decoder" in sides


def split_decoder(parts: Inventory) -> tuple[Inventory, SelfFeedingDecoder | None]:
    """Return the parts without the decoder, and the decoder, None if there is none. Raises UnsupportedNetwork."""
    if len(parts.groups) == 1:
        return parts, None
    encoder, decoder = identify_sides(parts.groups)
    layer = _layer_in_front(parts, decoder)
    if layer is None and decoder.input_size == encoder.output_size and not _gives(parts, decoder):
        raise UnsupportedNetwork(
            f"an autoencoder or the like: its decoder {decoder.prefix}* reads the {encoder.output_size} outputs of the "
            "encoder, where one that reads its own forecasts is served; save the encoder alone to pack it with --set "
            "task=embedding"
        )
    matrices = tuple(matrix for matrix in parts.matrices if matrix is not layer)
    return replace(parts, groups=(encoder,), matrices=matrices), SelfFeedingDecoder(decoder, layer)


def _gives(parts: Inventory, decoder: RecurrentGroup) -> bool:
    """Return whether a linear layer gives what the decoder reads."""
    return any(layer.rows == decoder.input_size for layer in parts.linears)


def _layer_in_front(parts: Inventory, decoder: RecurrentGroup) -> Matrix | None:
    """Return the linear layer in front of the decoder's recurrent ones: its output fits, and it comes before them."""
    order = list(parts.tensors)
    begin = min(order.index(name) for name in decoder.names)
    fitting = [
        layer
        for layer in parts.linears
        if layer.rows == decoder.input_size and side_of(layer.name) == "decoder" and order.index(layer.name) < begin
    ]
    return fitting[-1] if fitting else None
