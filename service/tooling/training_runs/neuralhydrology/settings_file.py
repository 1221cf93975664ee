"""The fields of a config.yml of NeuralHydrology, each checked when it is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from service.domain.errors import ModelFolderError
from service.domain.files import read_file
from service.model_folder.bounded_yaml import BROKEN, parse_yaml

MAX_BYTES = 2**20
MAX_TOKENS = 100_000


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """The fields of a file in YAML."""

    path: Path
    fields: Mapping[object, object]

    def error(self, field: str, found: object, expected: str) -> ModelFolderError:
        """Return the error that a field has another value than expected."""
        return ModelFolderError(f"{self.path}: {field}: found {str(found)[:200]}, expected {expected}")

    def word(self, field: str, default: str) -> str:
        """Return a text in lower case. Raises ModelFolderError for another value."""
        value = self._single(field)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.error(field, value, "a name")
        return value.lower()

    def count(self, field: str) -> int:
        """Return a number above 0. Raises ModelFolderError for another value."""
        value = self._single(field)
        if type(value) is not int or value < 1:
            raise self.error(field, "nothing" if value is None else value, "a number above 0")
        return value

    def names(self, *fields: str) -> list[str]:
        """Return the texts of a list, of the first of these fields that is there. Raises ModelFolderError."""
        field = next((field for field in fields if field in self.fields), fields[0])
        value = self._single(field)
        entries = value if isinstance(value, list) else [] if value is None else [value]
        # Groups of features are joined.
        flat = [name for entry in entries for name in (entry if isinstance(entry, list) else [entry])]
        texts = [name for name in flat if isinstance(name, str)]
        if len(texts) != len(flat):
            raise self.error(field, value, "a list of names")
        return texts

    def _single(self, field: str) -> object:
        """Return the value of a field, which may be stated for the only frequency of the run."""
        value = self.fields.get(field)
        if not isinstance(value, dict):
            return value
        if len(value) != 1:
            raise self.error(
                field, ", ".join(map(str, value)), "one value: networks of several frequencies are not served"
            )
        return next(iter(value.values()))


def read_settings(path: Path, expected: str) -> SettingsFile:
    """Return the fields of a YAML file. Raises ModelFolderError."""
    content = read_file(path, MAX_BYTES, expected)
    try:
        value = parse_yaml(content.decode("utf-8"), MAX_TOKENS)
    except BROKEN as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelFolderError(f"{path}: found broken YAML ({reason}), expected {expected}") from error
    if not isinstance(value, dict):
        raise ModelFolderError(f"{path}: found no fields, expected {expected}")
    return SettingsFile(path, value)
