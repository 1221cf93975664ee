"""Outputs of classification, tagging, regression, embedding and graphs of tensors as dataclasses."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unroll_client import arrays

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True, slots=True)
class LabelProbability:
    """A label and its probability."""

    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class ObservedLabels:
    """How probable the labels were that turned out, and how many of them the answer chose."""

    targets: int
    correct: int
    mean_logprob: float


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of a sequence, most probable first. `observed` is there if the input had a target."""

    labels: list[LabelProbability]
    observed: ObservedLabels | None = None

    @property
    def label(self) -> str:
        """The most probable label."""
        return self.labels[0].label


@dataclass(frozen=True, slots=True)
class Tag:
    """The tag of a timestep, with its token if the timesteps are tokens."""

    tag: str
    probability: float
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of the new timesteps. `observed` is there if the input had a target."""

    tags: list[Tag]
    observed: ObservedLabels | None = None


@dataclass(frozen=True, slots=True)
class ObservedNumbers:
    """How far off the answer was from the numbers that turned out, in their units."""

    mean_absolute_error: float


@dataclass(frozen=True, slots=True)
class Values:
    """Numbers by `names`, with a row for each new timestep or for the last one."""

    names: list[str]
    values: list[list[float]]
    observed: ObservedNumbers | None = None

    def to_numpy(self) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """Return the values as an array of shape (rows, names). Requires numpy."""
        return arrays.to_numpy(self.values)

    def to_pandas(self) -> "pd.DataFrame":
        """Return the values as a table with a column for each name. Requires pandas."""
        return arrays.to_table(self.values, self.names)


@dataclass(frozen=True, slots=True)
class Embedding:
    """The vector of a sequence, or one of each new timestep."""

    embedding: list[float] | list[list[float]]

    def to_numpy(self) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """Return an array of shape (features,) or (timesteps, features). Requires numpy."""
        return arrays.to_numpy(self.embedding)


@dataclass(frozen=True, slots=True)
class Tensors:
    """The outputs of a graph by name, as nested lists."""

    tensors: dict[str, Any]

    def to_numpy(self) -> "dict[str, np.ndarray[Any, Any]]":
        """Return the outputs as arrays of bool, int64 or float64, as their elements need. Requires numpy."""
        return {name: arrays.to_array(tensor) for name, tensor in self.tensors.items()}
