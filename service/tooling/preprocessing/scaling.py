"""The scaling of numbers as a file states it: a value becomes (value - mean) / scale."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.errors import ModelFolderError


@dataclass(frozen=True, slots=True)
class Scaler:
    """Mean and scale of each feature, and the names of the features where the file has them.

    `kind` and `origin` are for messages, `notes` say what the file has beside.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    kind: str
    origin: str
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        count = len(self.mean)
        names = f" ({', '.join(self.names)[:200]})" if self.names else ""
        return f"{self.kind} of {count} feature{'s' * (count != 1)}{names}"

    def of(self, features: list[str], field: str = "features") -> tuple[list[float], list[float]]:
        """Return mean and scale of these features, by their names or else in their order. Raises ModelFolderError."""
        by_name: Mapping[str, int] = {name: index for index, name in enumerate(self.names)}
        if features and all(name in by_name for name in features):
            order = [by_name[name] for name in features]
        elif len(features) == len(self.mean):
            order = [*range(len(features))]
        else:
            raise ModelFolderError(
                f"{self.origin}: found {self}, expected as many as the network has {field}, {len(features)} "
                f"({', '.join(features)[:200]}); of a scaler over more, those are taken that `{field}` names"
            )
        return [self.mean[index] for index in order], [self.scale[index] for index in order]


@dataclass(frozen=True, slots=True)
class Labels:
    """Names of classes in the order of the outputs, as scikit-learn's LabelEncoder has them."""

    names: tuple[str, ...]
    kind: str
    origin: str

    def __str__(self) -> str:
        return f"{self.kind} of {len(self.names)} labels ({', '.join(self.names)[:200]})"
