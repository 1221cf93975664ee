"""What the readers of the JSON of a Keras model share."""

from typing import Any

MAX_LAYERS = 1000
#: What else can be done with a model whose layers are not read.
WAY_OUT = (
    "layers that docs/import.md lists: build the model of these and copy the weights (set_weights), or export it, "
    'model.export("model.onnx", format="onnx"), and import that file'
)


class UnsupportedModel(Exception):
    """Raised for a model of Keras that is not read; the message completes "found ..."."""


def as_object(value: object) -> dict[str, Any]:
    """Return a JSON object, an empty one for any other value."""
    return value if isinstance(value, dict) else {}


def class_of(value: object) -> str:
    """Return the class of a layer, a cell or a model."""
    return str(as_object(value).get("class_name"))


def name_of(entry: object) -> str:
    """Return the name of a layer."""
    fields = as_object(entry)
    return str(fields.get("name", as_object(fields.get("config")).get("name")))
