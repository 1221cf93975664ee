"""What a reader of a file format returns: tensors by PyTorch's names, and what the file says of the network."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, slots=True)
class SavedLayer:
    """A layer that a file describes: `kind` is its class, such as `LSTM`, `options` its plain settings."""

    name: str
    kind: str
    options: Mapping[str, object]

    def render(self) -> str:
        """Describe it in a line."""
        options = ", ".join(f"{key}={value!r}" for key, value in self.options.items())
        return f"{self.name or '(the whole)'}: {self.kind}({options[:300]})"

    def to_dict(self) -> dict[str, object]:
        """Return the fields as JSON values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "options": {key: _plain(item) for key, item in self.options.items()},
        }


def _plain(value: object) -> object:
    """Return a number that JSON has, or the text of another value."""
    is_finite = not isinstance(value, float) or math.isfinite(value)
    return value if is_finite and isinstance(value, str | int | float | bool | None) else repr(value)


@dataclass(frozen=True, slots=True)
class SavedNetwork:
    """The tensors of a file by name.

    `kind` names the format, `saved_on` the devices. `beside` describes other content of the file, and `notes` the
    changes to the names. `layers` are those that the file describes, with their options; the tensors of a layer begin
    with its name. `content` is all that a pickle holds, as plain values and inert records.
    """

    kind: str
    tensors: dict[str, Tensor]
    saved_on: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    layers: tuple[SavedLayer, ...] = field(default=())
    content: object = field(default=None, repr=False)
