"""Interface of the models that can be asked in tensors. Standard library only."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from service.domain.operations import Infer, PredictOptions
from service.domain.tensors import Tensor, TensorSpec


class TensorInterface(Protocol):
    """The tensors that a model reads and returns, and their conversion to operations and from outcomes."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that the model reads."""

    @property
    def unlisted_inputs(self) -> tuple[TensorSpec, ...]:
        """Tensors that the model reads as well, although its metadata do not list them."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that the model can return."""

    @property
    def has_sequences(self) -> bool:
        """Whether a stream of requests can be a session."""

    @property
    def opening_inputs(self) -> tuple[str, ...]:
        """Inputs that a sequence begins with: its first request needs them, as one without a sequence does."""

    def operations(
        self, inputs: Mapping[str, Tensor], options: PredictOptions, outputs: tuple[str, ...]
    ) -> list[Infer]:
        """Return the operation of each row of the batch. Raises InvalidRequest for tensors that do not fit."""

    def tensors(self, answers: Sequence[Mapping[str, Any]], outputs: Sequence[str]) -> list[Tensor]:
        """Return the named output tensors, given the output of each row's outcome."""
