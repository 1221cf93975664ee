"""Recurrent layers of Keras that read from the last timestep to the first, and what follows behind them.

Such a layer returns its outputs in the order in which it computed them, so that the next layer reads them from the last
timestep on, too, unless it goes backwards itself.
"""

from collections.abc import Sequence
from dataclasses import replace

from service.tooling.formats.keras.layer import KerasLayer
from service.tooling.formats.keras.model_json import WAY_OUT, UnsupportedModel

RECURRENT = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}
#: The option of a layer that reads the model's input from its end.
BACKWARDS = "backwards"
#: Layers to which the order of the timesteps matters.
_ORDERED = {"Bidirectional", "Conv1D"}


def with_directions(layers: Sequence[KerasLayer]) -> tuple[KerasLayer, ...]:
    """Return the layers; those that read the model's input from its end have the option. Raises UnsupportedModel."""
    turned = False
    result = []
    for layer in layers:
        if layer.kind in RECURRENT:
            backwards = turned != bool(layer.options.get("go_backwards"))
            turned = backwards and bool(layer.options.get("return_sequences"))
            result.append(replace(layer, options={**layer.options, BACKWARDS: True}) if backwards else layer)
            continue
        if turned and layer.kind in _ORDERED:
            raise UnsupportedModel(
                f"the Keras layer {layer.kind!r} ({layer.name[:80]!r}) behind one that goes backwards, "
                f"expected {WAY_OUT}"
            )
        result.append(layer)
    return tuple(result)
