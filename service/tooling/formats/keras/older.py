"""Layers of Keras that have another name today: as that of today."""

from typing import Any

from service.tooling.formats.keras.model_json import as_object, class_of

_GATES = {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True}
#: Classes of Keras 2, with the options of the class of today that they do not write.
_OLDER: dict[str, tuple[str, dict[str, Any]]] = {
    "CuDNNLSTM": ("LSTM", _GATES),
    "CuDNNGRU": ("GRU", {**_GATES, "reset_after": True}),
    "BatchNormalizationV1": ("BatchNormalization", {}),
    "BatchNormalizationV2": ("BatchNormalization", {}),
}
_CELLS = {"LSTMCell": "LSTM", "GRUCell": "GRU", "SimpleRNNCell": "SimpleRNN"}


def as_today(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry of the JSON by the name and the options of today; an RNN of one cell is the layer of the cell."""
    kind, config = entry.get("class_name"), as_object(entry.get("config"))
    cell = as_object(config.get("cell")) if kind == "RNN" else {}
    if class_of(cell) in _CELLS:
        own = {key: value for key, value in config.items() if key != "cell"}
        return {**entry, "class_name": _CELLS[class_of(cell)], "config": {**as_object(cell.get("config")), **own}}
    if isinstance(kind, str) and kind in _OLDER:
        name, options = _OLDER[kind]
        return {**entry, "class_name": name, "config": {**options, **config}}
    return entry
