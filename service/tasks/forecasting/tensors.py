"""Tensors of a forecaster: rows of observations in, the mean and the quantiles of the steps ahead out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Final

from service.domain.errors import InvalidRequest
from service.domain.operations import Infer, PredictOptions, SeriesInput
from service.domain.rfc3339 import BEGIN, END
from service.domain.tensors import Tensor, TensorSpec
from service.nets.config.forecaster_config import ForecasterConfig
from service.tasks.tensor_interface import pack_floats, read_series, require_batch, require_input

VALUES: Final = "VALUES"
TIMESTAMPS: Final = "TIMESTAMPS"
FUTURE: Final = "FUTURE"
MEAN: Final = "MEAN"
QUANTILES: Final = "QUANTILES"


class ForecastingTensors:
    """Tensors of a forecaster. NaN in VALUES is a missing value, and so is a number beyond any measurement.

    TIMESTAMPS are microseconds since 1970, one per row. FUTURE has the covariates that are known in advance, if the
    model reads any.
    """

    has_sequences = True
    opening_inputs = ()

    def __init__(self, config: ForecasterConfig) -> None:
        self._config = config
        features, targets = len(config.features), len(config.target)
        future = (TensorSpec(FUTURE, "FP32", (-1, -1, len(config.known))),) if config.known else ()
        self.inputs = (
            TensorSpec(VALUES, "FP32", (-1, -1, features)),
            *future,
        )
        # Load generators fill all listed inputs, at random.
        self.unlisted_inputs = (TensorSpec(TIMESTAMPS, "INT64", (-1, -1), optional=True),)
        quantiles = () if config.distribution == "point" else (TensorSpec(QUANTILES, "FP32", (-1, -1, -1, targets)),)
        self.outputs = (TensorSpec(MEAN, "FP32", (-1, -1, targets)), *quantiles)

    def operations(
        self, inputs: Mapping[str, Tensor], options: PredictOptions, outputs: tuple[str, ...]
    ) -> list[Infer]:
        """Return the operation of each row of the batch. Raises InvalidRequest."""
        if QUANTILES not in outputs and "quantiles" not in options.given:
            options = replace(options, quantiles=())
        values = read_series(require_input(inputs, VALUES), len(self._config.features))
        times = _times(inputs, [len(rows) for rows in values])
        future: list[Any] = [None] * len(values)
        if FUTURE in inputs:
            require_batch(inputs[FUTURE], len(values))
            future = _known(inputs[FUTURE], len(self._config.known))
        series = [SeriesInput(rows, False, *rest) for rows, *rest in zip(values, times, future, strict=True)]
        return [Infer(item, options, outputs) for item in series]

    def tensors(self, answers: Sequence[Mapping[str, Any]], outputs: Sequence[str]) -> list[Tensor]:
        """Return the named output tensors, given the output of each row's outcome."""
        return [_mean(answers) if name == MEAN else _quantiles(answers) for name in outputs]


def _known(tensor: Tensor, width: int) -> list[tuple[tuple[float | None, ...], ...]]:
    """Return the covariates of each row of the batch. Raises InvalidRequest for one that is missing."""
    batches = read_series(tensor, width)
    if any(None in row for rows in batches for row in rows):
        raise InvalidRequest(
            f"{tensor.name} holds NaN or a number out of range: expected numbers, since they are known in advance",
            param=tensor.name,
        )
    return batches


def _times(inputs: Mapping[str, Tensor], counts: Sequence[int]) -> Sequence[tuple[int, ...] | None]:
    """Return the times of the rows of each row of the batch, None without TIMESTAMPS."""
    tensor = inputs.get(TIMESTAMPS)
    if tensor is None:
        return [None] * len(counts)
    require_batch(tensor, len(counts))
    batches = [tuple(times) for times in tensor.rows()]
    for time in chain.from_iterable(batches):
        if not BEGIN <= time < END:
            raise InvalidRequest(
                f"TIMESTAMPS holds {time}: expected microseconds since 1970 of the years 1 to 9999", param=TIMESTAMPS
            )
    return batches


def _mean(answers: Sequence[Mapping[str, Any]]) -> Tensor:
    means = [answer["mean"] for answer in answers]
    shape = (len(means), *_shape(means, 2))
    return pack_floats(MEAN, shape, [*chain.from_iterable(chain.from_iterable(means))])


def _quantiles(answers: Sequence[Mapping[str, Any]]) -> Tensor:
    quantiles = [[*answer["quantiles"].values()] for answer in answers]
    shape = (len(quantiles), *_shape(quantiles, 3))
    flat = chain.from_iterable(chain.from_iterable(chain.from_iterable(quantiles)))
    return pack_floats(QUANTILES, shape, [*flat])


def _shape(nested: Sequence[Any], depth: int) -> tuple[int, ...]:
    """Return the shape of the first element of nested lists of equal lengths."""
    shape, level = [], nested
    for _ in range(depth):
        level = level[0] if level else ()
        shape.append(len(level))
    return tuple(shape)
