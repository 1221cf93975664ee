"""Files of safetensors."""

import re

from service.model_folder.safetensors_io import read_tensor_file
from service.tooling.formats.format import Format
from service.tooling.formats.network import SavedNetwork
from service.tooling.formats.source import Source
from service.tooling.formats.values.prefixes import without_wrappers

#: Digits of a number in a name that names are ordered by.
MAX_DIGITS = 18


class Safetensors(Format):
    """Files of safetensors: the length of a JSON header, and the header."""

    def recognizes(self, source: Source) -> bool:
        # A header of less than a terabyte; a text can have the brace there, too.
        return source.head[5:9] == b"\0\0\0{"

    def read(self, source: Source) -> SavedNetwork:
        stored = read_tensor_file(source.path).tensors
        # The files have no order; that of the names is the order of the layers.
        tensors = {name: stored[name].tensor() for name in sorted(stored, key=_by_number)}
        return without_wrappers(SavedNetwork("safetensors file", tensors))


def _by_number(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts `head.2` before `head.10`."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() and len(part) <= MAX_DIGITS else (0, part) for part in parts]
